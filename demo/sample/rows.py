"""The rows of the sample set: tickets of four sources, one of which is bad: half of its labels are wrong."""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.samples.phrases import INTENTS
from cli.samples.tickets import LABEL_NAMES, Ticket, TicketSettings, make_tickets, write_ticket

SEED = 7
TRAIN_ROWS, HELDOUT_ROWS = 400, 100
#: Of a hundred rows, so many are drawn from each source.
SOURCES = {"web form": 35, "email": 30, "chat": 20, "old import": 15}
BAD_SOURCE = "old import"
#: How many of a source's labels are wrong.
WRONG_SHARE, BAD_SHARE = 0.02, 0.5


@dataclass(frozen=True)
class SampleRow:
    """One ticket as it is sent, and what its writer wants."""

    id: str
    text: str
    label: str
    source: str
    true_label: str

    @property
    def is_wrong(self) -> bool:
        return self.label != self.true_label


def make_rows(seed: int = SEED) -> tuple[list[SampleRow], list[SampleRow]]:
    """Training rows, some mislabelled, and held-out rows with true labels."""
    settings = TicketSettings(seed=seed, train_rows=TRAIN_ROWS, heldout_rows=HELDOUT_ROWS, wrong_share=0)
    tickets, rng = make_tickets(settings), random.Random(seed)
    drawn = rng.choices(list(SOURCES), weights=list(SOURCES.values()), k=TRAIN_ROWS + HELDOUT_ROWS)
    train, heldout = drawn[:TRAIN_ROWS], drawn[TRAIN_ROWS:]
    wrong = _choose_wrong(train, rng)
    return (
        [_row(*pair, rng, is_wrong=at in wrong) for at, pair in enumerate(zip(tickets.train, train, strict=True))],
        [_row(*pair, rng, is_wrong=False) for pair in zip(tickets.heldout, heldout, strict=True)],
    )


def _choose_wrong(sources: list[str], rng: random.Random) -> set[int]:
    chosen: set[int] = set()
    for source in SOURCES:
        rows = [at for at, name in enumerate(sources) if name == source]
        chosen.update(rng.sample(rows, round(len(rows) * (BAD_SHARE if source == BAD_SOURCE else WRONG_SHARE))))
    return chosen


def _row(ticket: Ticket, source: str, rng: random.Random, *, is_wrong: bool) -> SampleRow:
    label = rng.choice([name for name in LABEL_NAMES if name != ticket.label]) if is_wrong else ticket.label
    return SampleRow(ticket.id, ticket.text, label, source, ticket.label)


def to_jsonl(rows: Iterable[SampleRow]) -> bytes:
    """What anyone sees of the rows, one a line."""
    shown = ({"id": row.id, "text": row.text, "label": row.label, "source": row.source} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in shown).encode()


def write_others(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Other tickets with their true labels: what the base model is trained on before it is adapted."""
    rng = random.Random(seed)
    for _ in range(count):
        intent = rng.choice(INTENTS)
        yield write_ticket(intent, rng), intent.name
