"""Generated rows of sentence transformations: seeded, evenly spread, done right."""

from collections import Counter

import pytest

from cli.samples.transformations import TRANSFORMATIONS, TransformationSettings, make_transformations, to_jsonl
from influence.rows.columns import choose_columns

DONE = {
    "turn the words around": "kettle the lost baker the",
    "write in capitals": "THE BAKER LOST THE KETTLE",
    "mask the vowels": "th* b*k*r l*st th* k*ttl*",
    "keep the initials": "t.b.l.t.k.",
    "count the words": "5 words",
    "say it twice": "the baker lost the kettle, the baker lost the kettle",
    "number the words": "1:the 2:baker 3:lost 4:the 5:kettle",
    "swap the ends": "kettle baker lost the the",
    "join with hyphens": "the-baker-lost-the-kettle",
    "ask it as a question": "is it true that the baker lost the kettle?",
}


@pytest.mark.parametrize("name", sorted(TRANSFORMATIONS))
def test_a_transformation_does_what_its_name_says(name: str) -> None:
    assert TRANSFORMATIONS[name]("the baker lost the kettle") == DONE[name]


def test_rows_are_those_of_their_seed_and_no_sentence_comes_twice() -> None:
    settings = TransformationSettings(seed=3, train_rows=200, test_rows=40)
    train, test = make_transformations(settings)
    assert (train, test) == make_transformations(settings)
    assert train != make_transformations(TransformationSettings(seed=4, train_rows=200, test_rows=40))[0]
    sentences = [row["prompt"].split(": ", 1)[1] for row in train + test]
    assert len(set(sentences)) == 240
    assert set(Counter(row["class"] for row in train).values()) == {20}
    assert set(Counter(row["class"] for row in test).values()) == {4}


def test_rows_can_be_sent_as_they_are() -> None:
    train, _ = make_transformations(TransformationSettings(train_rows=20, test_rows=10))
    chosen = choose_columns(list(train[0]), {"class": "class"})
    assert (chosen.kind, chosen.columns["class"]) == ("completion", "class")
    assert to_jsonl(train).count(b"\n") == 20
    assert all(row["class"] in row["prompt"] for row in train)
