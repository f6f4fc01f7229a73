"""A data set of support tickets: eight intents, varied wording, hard cases, and labels that are wrong on purpose."""

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cli.samples.grammar import expand
from cli.samples.phrases import INTENTS, VAGUE, Intent
from cli.samples.wording import ASIDES, BRIDGES, CLOSINGS, GREETINGS, SLOTS, mistype, set_temper

LABEL_NAMES = tuple(sorted(intent.name for intent in INTENTS))
_BY_NAME = {intent.name: intent for intent in INTENTS}

VAGUE_SHARE, CRY_SHARE, HARD_SHARE, TYPO_SHARE = 0.03, 0.12, 0.17, 0.35
#: Two tickets whose words overlap more than this (Jaccard) count as the same.
MOST_OVERLAP = 0.8


@dataclass(frozen=True)
class TicketSettings:
    """What decides the data set. `wrong_share` of the training labels are wrong."""

    seed: int = 7
    train_rows: int = 800
    heldout_rows: int = 200
    wrong_share: float = 0.1


@dataclass(frozen=True)
class Ticket:
    """One ticket. `label` is what the file says, `true_label` what the customer wants."""

    id: str
    text: str
    label: str
    true_label: str

    @property
    def is_wrong(self) -> bool:
        return self.label != self.true_label


@dataclass(frozen=True)
class TicketSet:
    """Training rows, some mislabelled, and held-out rows with true labels."""

    train: tuple[Ticket, ...]
    heldout: tuple[Ticket, ...]

    @property
    def wrong(self) -> tuple[Ticket, ...]:
        """The training rows whose label is wrong on purpose."""
        return tuple(ticket for ticket in self.train if ticket.is_wrong)


def make_tickets(settings: TicketSettings) -> TicketSet:
    """The data set of a seed: intents evenly spread, no two tickets alike, the two parts drawn from one stream."""
    rng = random.Random(settings.seed)
    total = settings.train_rows + settings.heldout_rows
    names = [LABEL_NAMES[index % len(LABEL_NAMES)] for index in range(total)]
    rng.shuffle(names)
    texts = _distinct_texts(names, rng)
    rows = [
        Ticket(_ticket_id(index, settings.train_rows), text, name, name)
        for index, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    train = _mislabel(rows[: settings.train_rows], settings.wrong_share, rng)
    return TicketSet(tuple(train), tuple(rows[settings.train_rows :]))


def _ticket_id(index: int, train_rows: int) -> str:
    return f"train-{index:04d}" if index < train_rows else f"heldout-{index - train_rows:04d}"


def _distinct_texts(names: Iterable[str], rng: random.Random) -> Iterator[str]:
    """One text a name, each unlike all before it."""
    seen: list[frozenset[str]] = []
    for name in names:
        words, text = frozenset[str](), ""
        while not words or any(_overlap(words, other) > MOST_OVERLAP for other in seen):
            text = write_ticket(_BY_NAME[name], rng)
            words = words_of(text)
        seen.append(words)
        yield text


def words_of(text: str) -> frozenset[str]:
    """The words of a text without case, digits and marks."""
    return frozenset(re.findall(r"[^\W\d_]+", text.lower()))


def _overlap(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def write_ticket(intent: Intent, rng: random.Random) -> str:
    """One ticket that wants what `intent` stands for."""
    kind = rng.random()
    if kind < VAGUE_SHARE:
        fitting = [pattern for pattern, names in VAGUE if intent.name in names]
        return set_temper(_say(rng.choice(fitting), rng), rng)
    if kind < VAGUE_SHARE + CRY_SHARE:
        text = _say(rng.choice(intent.cries), rng)
        text = f"{text} {_say(rng.choice(CLOSINGS), rng)}".strip() if rng.random() < 0.5 else text
    else:
        text = _letter(intent, rng, is_hard=kind < VAGUE_SHARE + CRY_SHARE + HARD_SHARE)
    text = set_temper(text, rng)
    return mistype(text, rng) if rng.random() < TYPO_SHARE else text


def _letter(intent: Intent, rng: random.Random, *, is_hard: bool) -> str:
    """Greeting, story, request, closing; each but the core may be missing."""
    body = _hard_body(intent, rng) if is_hard else _plain_body(intent, rng)
    if rng.random() < 0.35:
        body.insert(rng.randint(0, len(body)), _say(rng.choice(ASIDES), rng))
    parts = [_say(rng.choice(GREETINGS), rng), *body, _say(rng.choice(CLOSINGS), rng)]
    return " ".join(part for part in parts if part)


def _plain_body(intent: Intent, rng: random.Random) -> list[str]:
    story, request = _sentence(intent.situations, rng), _sentence(intent.asks, rng)
    length = rng.random()
    if length < 0.15:
        return [request]
    if length < 0.3:
        return [story]
    if length < 0.4:
        return [request, story]
    if length < 0.55:
        return [story, request, _sentence(intent.asks, rng)]
    return [story, request]


def _hard_body(intent: Intent, rng: random.Random) -> list[str]:
    """Another intent's story before this intent's request, or an old story that is over."""
    other = _BY_NAME[rng.choice(intent.neighbours)]
    request = _sentence(intent.asks, rng)
    if rng.random() < 0.6:
        return [_sentence(other.situations, rng), request]
    story = _say(rng.choice(other.situations), rng).rstrip(".")
    return [f"{story}{_say(rng.choice(BRIDGES), rng)} {request}"]


def _sentence(patterns: tuple[str, ...], rng: random.Random) -> str:
    text = _say(rng.choice(patterns), rng)
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else f"{text}."


def _say(pattern: str, rng: random.Random) -> str:
    return expand(pattern, rng, SLOTS)


def _mislabel(rows: list[Ticket], share: float, rng: random.Random) -> list[Ticket]:
    """Give exactly `share` of the rows another label, each wrong one equally likely."""
    chosen = set(rng.sample(range(len(rows)), round(share * len(rows))))
    return [
        replace(row, label=rng.choice([name for name in LABEL_NAMES if name != row.true_label]))
        if index in chosen
        else row
        for index, row in enumerate(rows)
    ]


def to_jsonl(tickets: Iterable[Ticket]) -> bytes:
    """Rows `{id, text, label}`, one a line: what anyone sees of the data set."""
    return _lines({"id": ticket.id, "text": ticket.text, "label": ticket.label} for ticket in tickets)


def write_tickets(tickets: TicketSet, folder: Path) -> None:
    """Write `train.jsonl`, `heldout.jsonl` and, for the reckoning afterwards, `wrong_labels.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_bytes(to_jsonl(tickets.train))
    (folder / "heldout.jsonl").write_bytes(to_jsonl(tickets.heldout))
    wrong = ({"id": row.id, "label": row.label, "true_label": row.true_label} for row in tickets.wrong)
    (folder / "wrong_labels.jsonl").write_bytes(_lines(wrong))


def read_rows(path: Path) -> tuple[Ticket, ...]:
    """The tickets of a file as its reader knows them: what it calls the label is taken for true."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(Ticket(row["id"], row["text"], row["label"], row["label"]) for row in rows)


def _lines(rows: Iterable[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
