"""Pairs of answers as trainers' files have them, in their normal form."""

from typing import Any

import pytest

from influence.errors import DatainfError
from influence.rows.columns import choose_columns
from influence.rows.normalise import normalise_rows
from influence.rows.values import kind_of_value

ASK = {"role": "user", "content": "q"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in "ab")
SAID, SAYS_GOOD, SAYS_BAD = (
    {"from": "human", "value": "q"},
    {"from": "gpt", "value": "a"},
    {"from": "gpt", "value": "b"},
)
TEXTS: dict[str, Any] = {"prompt": "q", "chosen": "a", "rejected": "b"}
TALK: dict[str, Any] = {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]}


def read(row: dict[str, Any], wanted: dict[str, str] | None = None) -> dict[str, Any]:
    types = {name: frozenset({kind_of_value(value)}) for name, value in row.items()}
    (found,) = normalise_rows([row], choose_columns(list(row), wanted, types=types))
    return {name: value for name, value in found.items() if name != "id"}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (TEXTS, TEXTS),
        ({"question": "q", "chosen": "a", "rejected": "b"}, TEXTS),
        ({"chosen": "q: yes sir", "rejected": "q: no"}, {"prompt": "q:", "chosen": " yes sir", "rejected": " no"}),
        ({"chosen": "a", "rejected": "b"}, {"chosen": "a", "rejected": "b"}),
        ({"chosen": "so", "rejected": "so it is"}, {"prompt": "so", "chosen": "", "rejected": " it is"}),
        ({**TEXTS, "margin": 2}, {**TEXTS, "margin": 2.0}),
        (TALK, TALK),
        ({"chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, TALK),
        ({"messages": [ASK], "chosen": GOOD, "rejected": BAD}, TALK),
        ({"conversations": [SAID], "chosen": SAYS_GOOD, "rejected": SAYS_BAD}, TALK),
        ({**TALK, "system": "s"}, {**TALK, "prompt": [{"role": "system", "content": "s"}, ASK]}),
        ({**TALK, "system": ""}, TALK),
        ({**TEXTS, "system": None}, TEXTS),
    ],
)
def test_pairs_are_read_as_trl_reads_them(row: dict[str, Any], found: dict[str, Any]) -> None:
    assert read(row) == found


def test_tools_go_with_messages() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert read({"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD], "tools": tools})["tools"] == tools
    with pytest.raises(DatainfError, match="'tools'"):
        read({"prompt": "q", "chosen": "a", "rejected": "b", "tools": tools})


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
        {"prompt": [ASK], "chosen": "a", "rejected": "b"},
        {"prompt": "q", "chosen": "a", "rejected": None},
        {"prompt": "q", "chosen": "a", "rejected": "a"},
        {"chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "q", "chosen": "a", "rejected": "b", "margin": "wide"},
        {"prompt": "q", "chosen": "a", "rejected": "b", "system": "s"},
        {"prompt": "q", "chosen": "a", "rejected": "b", "history": [["x", "y"]]},
        {"messages": [ASK], "chosen": GOOD, "rejected": GOOD},
        {"messages": [ASK], "chosen": GOOD, "rejected": "no"},
    ],
)
def test_what_is_no_pair_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(DatainfError) as caught:
        read(row)
    assert caught.value.hint


def test_the_chosen_answers_alone_are_taken_when_they_are_named() -> None:
    found = read({"prompt": "q", "chosen": "a", "rejected": "b"}, {"prompt": "prompt", "completion": "chosen"})
    assert found == {"prompt": "q", "completion": "a", "metadata": {"rejected": "b"}}


def test_a_whole_conversation_beside_both_answers_is_no_prompt_of_theirs() -> None:
    """As published sets have it that serve fine-tuning, too; the hint has to lead to the right row."""
    row = {"prompt": "q", "messages": [ASK, GOOD], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}
    with pytest.raises(DatainfError) as refused:
        read(row)
    assert 'columns={"chosen": "chosen", "rejected": "rejected"}' in refused.value.hint
    found = read(row, {"chosen": "chosen", "rejected": "rejected"})
    assert {name: found[name] for name in TALK} == TALK
    wrong = {"prompt": "messages", "chosen": "chosen", "rejected": "rejected"}
    with pytest.raises(DatainfError, match="the whole of one of the two answers"):
        read(row, wrong)
    system = {"role": "system", "content": "s"}
    with pytest.raises(DatainfError, match="the whole of one of the two answers"):
        read({**row, "messages": [system, ASK, GOOD]}, wrong)


@pytest.mark.parametrize(
    ("row", "is_told"),
    [
        ({"prompt": "q?", "chosen": "q? a", "rejected": "q? b"}, True),
        ({"prompt": [ASK], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, True),
        ({"prompt": [ASK], "chosen": [ASK, GOOD], "rejected": [ASK, BAD], "system": "s"}, True),
        ({"prompt": "q?", "chosen": "q? a", "rejected": "b"}, False),
        ({"chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, False),
        (TALK, False),
        (TEXTS, False),
    ],
)
def test_answers_that_begin_with_their_prompt_are_told(row: dict[str, Any], is_told: bool) -> None:
    types = {name: frozenset({kind_of_value(value)}) for name, value in row.items()}
    rows = normalise_rows([row], choose_columns(list(row), None, types=types))
    assert len([*rows]) == 1
    assert ["prompt_in_answers" in problem.code for problem in rows.problems] == ([True] if is_told else [])
