"""The demo's data set: what the reckoning at the end of the demo rests on."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.samples.grammar import expand
from cli.samples.phrases import INTENTS, VAGUE
from cli.samples.tickets import (
    LABEL_NAMES,
    MOST_OVERLAP,
    TicketSet,
    TicketSettings,
    make_tickets,
    to_jsonl,
    words_of,
    write_tickets,
)
from cli.samples.wording import ASIDES, BRIDGES, CLOSINGS, GREETINGS, SLOTS, mistype


@pytest.fixture(scope="module")
def tickets() -> TicketSet:
    return make_tickets(TicketSettings())


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tickets: TicketSet) -> None:
    again, other = make_tickets(TicketSettings()), make_tickets(TicketSettings(seed=8))
    assert again == tickets
    assert to_jsonl(again.train) == to_jsonl(tickets.train)
    assert len({row.text for row in other.train} & {row.text for row in tickets.train}) < 40


def test_there_are_eight_intents_evenly_spread_over_both_parts(tickets: TicketSet) -> None:
    assert len(LABEL_NAMES) == 8
    counts = Counter(row.true_label for row in (*tickets.train, *tickets.heldout))
    assert set(counts.values()) == {125}
    assert len(tickets.train) == 800
    assert len(tickets.heldout) == 200
    assert set(Counter(row.true_label for row in tickets.heldout)) == set(LABEL_NAMES)


def test_exactly_a_tenth_of_the_training_labels_is_wrong_and_no_held_out_one(tickets: TicketSet) -> None:
    assert len(tickets.wrong) == 80
    assert all(row.label in LABEL_NAMES and row.label != row.true_label for row in tickets.wrong)
    assert not any(row.is_wrong for row in tickets.heldout)
    assert len(Counter(row.label for row in tickets.wrong)) == 8


def test_no_two_tickets_are_alike_so_that_nothing_leaks_into_the_held_out_part(tickets: TicketSet) -> None:
    seen = [words_of(row.text) for row in tickets.train]
    for row in tickets.heldout:
        words = words_of(row.text)
        assert all(len(words & other) <= MOST_OVERLAP * len(words | other) for other in seen), row.text
    texts = [row.text for row in (*tickets.train, *tickets.heldout)]
    assert len(set(texts)) == len(texts)


def test_wording_is_varied(tickets: TicketSet) -> None:
    lengths = [len(row.text.split()) for row in tickets.train]
    assert min(lengths) <= 3
    assert max(lengths) >= 40
    assert len({word for row in tickets.train for word in words_of(row.text)}) > 1000


def test_files_hold_the_rows_and_the_record_of_what_was_planted(tickets: TicketSet, tmp_path: Path) -> None:
    write_tickets(tickets, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_bytes().splitlines()]
    assert [set(row) for row in rows] == [{"id", "text", "label"}] * 800
    assert len({row["id"] for row in rows}) == 800
    planted = [json.loads(line) for line in (tmp_path / "wrong_labels.jsonl").read_bytes().splitlines()]
    labels = {row["id"]: row["label"] for row in rows}
    assert len(planted) == 80
    assert all(labels[row["id"]] == row["label"] != row["true_label"] for row in planted)


def test_every_pattern_can_be_expanded() -> None:
    patterns = [pattern for intent in INTENTS for pattern in (*intent.situations, *intent.asks, *intent.cries)]
    rng = random.Random(0)
    for pattern in (*patterns, *ASIDES, *BRIDGES, *CLOSINGS, *GREETINGS, *(pattern for pattern, _ in VAGUE)):
        for _ in range(20):
            assert not set(expand(pattern, rng, SLOTS)) & set("{}|"), pattern


def test_neighbours_and_vague_cries_name_intents() -> None:
    assert {name for intent in INTENTS for name in intent.neighbours} <= set(LABEL_NAMES)
    assert {name for _, names in VAGUE for name in names} <= set(LABEL_NAMES)


@pytest.mark.parametrize("pattern", ["(a|b", "a)b", "a|b"])
def test_unbalanced_brackets_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="bracket"):
        expand(pattern, random.Random(0), SLOTS)


@given(st.text(max_size=60), st.integers())
@settings(max_examples=100, deadline=None)
def test_typing_mistakes_never_fail_and_change_little(text: str, seed: int) -> None:
    assert abs(len(mistype(text, random.Random(seed))) - len(text)) <= 3
