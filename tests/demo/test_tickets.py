"""The demo's data set: the same for a seed, honest about its wrong labels, without a way to cheat."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from demo.grammar import expand
from demo.phrases import INTENTS, VAGUE
from demo.tickets import (
    LABEL_NAMES,
    MOST_OVERLAP,
    TicketSet,
    TicketSettings,
    make_tickets,
    read_rows,
    words_of,
    write_tickets,
)
from demo.wording import ASIDES, BRIDGES, CLOSINGS, GREETINGS, SLOTS, mistype

SMALL = TicketSettings(train_rows=120, heldout_rows=40)


@pytest.fixture(scope="module")
def tickets() -> TicketSet:
    return make_tickets(TicketSettings())


def test_a_seed_always_writes_the_same_tickets():
    assert make_tickets(SMALL) == make_tickets(SMALL)


def test_another_seed_writes_other_tickets():
    texts = {row.text for row in make_tickets(SMALL).train}
    others = {row.text for row in make_tickets(TicketSettings(seed=8, train_rows=120, heldout_rows=40)).train}
    assert len(texts & others) < 12


def test_the_global_random_state_is_neither_used_nor_changed():
    random.seed(1)
    before = random.getstate()
    first = make_tickets(SMALL)
    assert random.getstate() == before
    random.seed(2)
    assert make_tickets(SMALL) == first


def test_eight_intents_come_equally_often(tickets):
    counts = Counter(row.true_label for row in (*tickets.train, *tickets.heldout))
    assert len(LABEL_NAMES) == 8
    assert set(counts) == set(LABEL_NAMES)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_exactly_a_tenth_of_the_training_labels_is_wrong(tickets):
    assert len(tickets.train) == 800
    assert len(tickets.wrong) == 80
    assert {row.label for row in tickets.wrong} == set(LABEL_NAMES)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_the_share_of_wrong_labels_can_be_chosen(share):
    made = make_tickets(TicketSettings(train_rows=120, heldout_rows=40, wrong_share=share))
    assert len(made.wrong) == round(share * 120)


def test_held_out_labels_are_all_true(tickets):
    assert len(tickets.heldout) == 200
    assert not any(row.is_wrong for row in tickets.heldout)


def test_no_ticket_is_nearly_another(tickets):
    rows = [words_of(row.text) for row in (*tickets.train, *tickets.heldout)]
    vocabulary = sorted(frozenset[str]().union(*rows))
    has = np.array([[word in words for word in vocabulary] for words in rows], dtype=np.float32)
    shared, sizes = has @ has.T, has.sum(1)
    overlap = shared / (sizes[:, None] + sizes[None, :] - shared)
    most = (overlap - np.eye(len(rows))).max()
    assert most <= MOST_OVERLAP


def test_ids_are_unique_and_say_nothing_about_labels(tickets):
    ids = [row.id for row in (*tickets.train, *tickets.heldout)]
    assert len(set(ids)) == len(ids)
    assert not any(name in row_id for row_id in ids for name in LABEL_NAMES)


def test_tickets_vary_in_length_and_words(tickets):
    lengths = sorted(len(row.text.split()) for row in tickets.train)
    assert lengths[len(lengths) // 10] <= 8
    assert lengths[-len(lengths) // 10] >= 25
    assert len(set().union(*(words_of(row.text) for row in tickets.train))) > 1000


def test_no_single_word_gives_the_intent_away(tickets):
    """A look-up of each word's usual intent, learnt from true labels, must not answer everything."""
    votes: dict[str, Counter[str]] = {}
    for row in tickets.train:
        for word in words_of(row.text):
            votes.setdefault(word, Counter())[row.true_label] += 1
    right = 0
    for row in tickets.heldout:
        known = [votes[word] for word in words_of(row.text) if word in votes]
        surest = max(
            known, key=lambda counts: max(counts.values()) / (counts.total() + 2), default=Counter(LABEL_NAMES)
        )
        right += surest.most_common(1)[0][0] == row.true_label
    assert right / len(tickets.heldout) < 0.85


def test_files_hold_what_was_made_and_name_the_wrong_rows(tickets, tmp_path):
    write_tickets(tickets, tmp_path)
    train = read_rows(tmp_path / "train.jsonl")
    assert [(row.id, row.text, row.label) for row in train] == [(r.id, r.text, r.label) for r in tickets.train]
    assert read_rows(tmp_path / "heldout.jsonl") == tickets.heldout
    wrong = [json.loads(line) for line in (tmp_path / "wrong_labels.jsonl").read_text().splitlines()]
    assert wrong == [{"id": r.id, "label": r.label, "true_label": r.true_label} for r in tickets.wrong]


def test_the_file_that_is_sent_does_not_tell_the_true_label(tickets, tmp_path):
    write_tickets(tickets, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert all(set(row) == {"id", "text", "label"} for row in rows)


def test_every_pattern_can_be_written():
    patterns = [
        pattern for intent in INTENTS for part in (intent.situations, intent.asks, intent.cries) for pattern in part
    ]
    patterns += [pattern for pattern, _ in VAGUE] + [*ASIDES, *BRIDGES, *CLOSINGS, *GREETINGS]
    chance = random.Random(0)
    for pattern in patterns:
        for _ in range(5):
            text = expand(pattern, chance, SLOTS)
            assert not set(text) & set("{}|"), pattern


def test_neighbours_and_vague_labels_are_intents():
    for intent in INTENTS:
        assert set(intent.neighbours) < set(LABEL_NAMES) - {intent.name}
    assert {name for _, names in VAGUE for name in names} <= set(LABEL_NAMES)


@pytest.mark.parametrize("pattern", ["(a|b", "a|b", "a)b"])
def test_unbalanced_brackets_are_refused(pattern):
    with pytest.raises(ValueError, match="bracket"):
        expand(pattern, random.Random(0), {})


def test_nested_choices_and_slots_are_filled():
    made = {expand("(a (b|{c})|d|) e .", random.Random(seed), {"c": lambda _: "C"}) for seed in range(50)}
    assert made == {"a b e.", "a C e.", "d e.", "e."}


def test_a_mistyped_text_keeps_its_first_letter_and_almost_its_length():
    chance = random.Random(0)
    for _ in range(200):
        made = mistype("please send my money back", chance)
        assert made[0] == "p"
        assert abs(len(made) - 25) <= 3


def test_short_texts_survive_mistyping():
    assert mistype("12 4", random.Random(0)) == "12 4"
