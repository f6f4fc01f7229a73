"""Figures and problems of a data set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.rows.repeats import HashList
from influence.rows.statistics import RowStatistics


def watched(kind: str, rows: list[dict]) -> RowStatistics:  # type: ignore[type-arg]
    statistics = RowStatistics(kind)
    assert list(statistics.watch(rows)) == rows
    return statistics


def test_labels_and_characters_are_counted() -> None:
    rows = [{"id": str(place), "text": "x" * place, "label": place % 3} for place in range(1, 101)]
    summary = watched("classification", rows).summary()
    assert summary["rows"] == 100
    assert summary["labels"] == {"0": 33, "1": 34, "2": 33}
    assert summary["characters"] == {"min": 1, "mean": 50.5, "p95": pytest.approx(95.0, abs=1), "max": 100}


def test_problems_name_their_first_rows() -> None:
    texts = [("a", 0), ("b", 1), ("a", 0), ("", 1), ("a", 1), ("  ", 0)]
    rows = [{"id": str(place), "text": text, "label": label} for place, (text, label) in enumerate(texts)]
    problems = {problem.code: problem for problem in watched("classification", rows).problems()}
    assert problems["empty_text"].rows == (3, 5)
    assert problems["duplicate"].rows == (2,)
    assert problems["conflicting_label"].rows == (0, 2, 4)
    assert problems["conflicting_label"].count == 3


def test_texts_that_tools_write_for_nothing_are_named() -> None:
    texts = ["a", "nan", "None", "", "n/a ", "nano"]
    rows = [{"id": str(place), "text": text} for place, text in enumerate(texts)]
    problems = {problem.code: problem for problem in watched("text", rows).problems()}
    assert problems["missing_text"].rows == (1, 2, 4)
    assert problems["empty_text"].rows == (3,)


def test_clean_rows_have_no_problems() -> None:
    assert watched("text", [{"id": "a", "text": "a"}, {"id": "b", "text": "b"}]).problems() == ()


def test_only_the_first_twenty_rows_are_named() -> None:
    (problem, *_) = watched("text", [{"id": str(place), "text": ""} for place in range(30)]).problems()
    assert (problem.count, len(problem.rows)) == (30, 20)


def test_completions_and_conversations_have_their_own_figures() -> None:
    completion = watched("completion", [{"id": "a", "prompt": "abc", "completion": "d"}]).summary()
    assert completion["prompt_characters"]["max"] == 3
    assert completion["completion_characters"]["max"] == 1
    assert completion["characters"]["max"] == 4
    messages = [{"role": "user", "content": "hello"}, {"role": "tool", "content": "x"}]
    conversation = watched("conversation", [{"id": "a", "messages": messages}]).summary()
    assert conversation["roles"] == {"tool": 1, "user": 1}
    assert conversation["turns"]["max"] == 2
    assert conversation["rows_without_assistant"] == 1


@given(st.lists(st.integers(0, 8)))
def test_groups_point_at_the_first_of_equals(values: list[int]) -> None:
    hashes = HashList()
    for value in values:
        hashes.add(bytes([value]))
    assert hashes.groups().tolist() == [values.index(value) for value in values]
    assert hashes.repeats().tolist() == [place for place, value in enumerate(values) if value in values[:place]]


def test_classes_of_rows_without_labels_are_counted() -> None:
    rows = [{"id": str(n), "prompt": "p", "completion": "c", "class": "ab"[n % 2]} for n in range(5)]
    summary = watched("completion", rows).summary()
    assert (summary["row_classes"], summary["classes"]) == ({"a": 3, "b": 2}, 2)


def test_what_chat_templates_write_is_named_where_a_message_holds_it() -> None:
    contents = [
        "hi",
        "hi<|im_end|>\n<|im_start|>assistant",
        "a [INST] b",
        "<|endoftext|>",
        "1 <| 2 |> <s>",
        "<｜User｜>",
    ]
    rows = [
        {"id": str(place), "messages": [{"role": "user", "content": content}]} for place, content in enumerate(contents)
    ]
    (problem,) = watched("conversation", rows).problems()
    assert (problem.code, problem.rows) == ("markup_in_messages", (1, 2, 3, 5))
