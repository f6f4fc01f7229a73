"""Cells that training may have read, or weighed a row by, where a row has no place for them: never passed over."""

import json
import re
from typing import Any

import pytest

from influence.errors import ColumnsAmbiguous, DatainfError
from influence.rows.columns import ColumnMap, choose_columns
from influence.rows.label_forms.detection import settle_kind
from influence.rows.normalise import normalise_rows
from influence.rows.values import kind_of_value

ANSWER = {"prompt": "q", "completion": "a"}
TALK = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
CLASSED = {"text": "t", "label": "x"}
PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


def columns_of(row: dict[str, Any], wanted: dict[str, str] | None = None) -> ColumnMap:
    types = {name: frozenset({kind_of_value(value)}) for name, value in row.items()}
    return choose_columns(list(row), wanted, types=types)


def read(row: dict[str, Any], wanted: dict[str, str] | None = None) -> dict[str, Any]:
    (found,) = normalise_rows([row], columns_of(row, wanted))
    return found


@pytest.mark.parametrize("row", [ANSWER, TALK])
@pytest.mark.parametrize("verdict", [{"label": 1}, {"label": 0}, {"labels": 0}, {"desirable": True}, {"kto_label": 0}])
def test_a_verdict_on_an_answer_names_the_loss_that_is_not_scored(row: dict[str, Any], verdict: dict[str, Any]) -> None:
    name = next(iter(verdict))
    with pytest.raises(ColumnsAmbiguous, match="preferred") as caught:
        read({**row, **verdict})
    assert "KTO" in caught.value.hint
    assert f'"{"label" if name == "labels" else name}": ""' in caught.value.hint


def test_a_class_beside_an_answer_is_kept_where_it_is_named_as_one() -> None:
    assert read({**ANSWER, "label": 1}, {"class": "label"})["class"] == "1"


@pytest.mark.parametrize("name", ["weight", "weights", "sample_weight", "loss_weight", "class_weight", "importance"])
def test_weights_of_rows_with_labels_are_refused_until_they_are_left_out(name: str) -> None:
    with pytest.raises(ColumnsAmbiguous, match="weighed"):
        read({**CLASSED, name: 0.5})
    assert read({**CLASSED, name: 1})["metadata"] == {name: 1}
    assert read({**CLASSED, name: 0.5}, {name: ""})["metadata"] == {name: 0.5}


@pytest.mark.parametrize("name", ["context", "question", "aspect", "passage", "text_b", "hypothesis"])
def test_a_second_text_beside_a_label_is_named_by_the_caller(name: str) -> None:
    with pytest.raises(ColumnsAmbiguous, match=f"'{name}'") as caught:
        read({**CLASSED, name: "more"})
    assert f'columns={{"text": "{name}", "text_pair": "text"}}' in caught.value.hint
    assert read({**CLASSED, name: "more"}, {name: ""})["text"] == "t"
    assert read({**CLASSED, name: "more"}, {"text": name, "text_pair": "text", "label": "label"})["text"] == "more"
    assert read({**CLASSED, name: ""})["text"] == "t"


@pytest.mark.parametrize(
    ("first", "second"),
    [("query", "passage"), ("query", "document"), ("question", "passage"), ("question", "context")],
)
def test_pairs_that_rerankers_read_are_read_whole(first: str, second: str) -> None:
    row = read({first: "q", second: "d", "label": 1})
    assert (row["text"], row["text_pair"]) == ("q", "d")


@pytest.mark.parametrize("name", ["choices", "options", "rationale", "thought", "Complex_CoT", "deepseek_reasoning"])
def test_what_an_answer_may_have_been_written_with_is_never_passed_over(name: str) -> None:
    with pytest.raises(ColumnsAmbiguous, match=f"'{name}'"):
        read({**ANSWER, name: ["a", "b"]})


@pytest.mark.parametrize("row", [ANSWER, TALK, {"text": "t"}])
def test_what_was_thought_is_left_out_by_name_and_numbers_about_it_are_not_meant(row: dict[str, Any]) -> None:
    with pytest.raises(ColumnsAmbiguous) as caught:
        read({**row, "Complex_CoT": "let me see"})
    assert '"complex_cot": ""' in caught.value.hint
    left_out = read({**row, "Complex_CoT": "let me see"}, {"complex_cot": ""})
    assert left_out["metadata"] == {"Complex_CoT": "let me see"}
    assert read({**row, "reasoning_tokens": 12, "has_reasoning": True})["metadata"]


@pytest.mark.parametrize("name", ["history", "instruction", "context"])
def test_context_beside_pairs_is_sent_among_their_messages(name: str) -> None:
    with pytest.raises(ColumnsAmbiguous) as caught:
        read({**PAIR, name: "be nice"})
    assert "'prompt', 'chosen' and 'rejected' as lists of messages" in caught.value.hint


def test_a_picture_beside_a_text_and_a_label_is_named_by_the_caller() -> None:
    row = {"image": "iVBORw0KGgo=", "text": "a square", "label": 1}
    with pytest.raises(ColumnsAmbiguous, match="rows of kind 'classification'") as caught:
        read(row)
    named = [json.loads(found) for found in re.findall(r"columns=({[^}]*})", caught.value.hint)]
    assert [columns_of(row, columns).kind for columns in named] == ["image_classification", "image_caption"]


@pytest.mark.parametrize("row", [ANSWER, CLASSED])
def test_pictures_beside_text_are_not_told_to_be_put_into_it(row: dict[str, Any]) -> None:
    with pytest.raises(ColumnsAmbiguous) as caught:
        read({**row, "images": ["a.png"]})
    assert "cannot be scored" in caught.value.hint


def settled(labels: list[Any], *, typed: bool = True) -> str:
    return settle_kind(choose_columns(["text", "label"]), [{"label": label} for label in labels], typed=typed).kind


@pytest.mark.parametrize(
    ("labels", "typed"),
    [
        ([[0.2, 0.8], [0.9, 0.1]], True),
        ([[1.0, 0.0], [0.5, 0.5]], True),
        ([[0.2, 0.3, 0.9]], True),
        (["[0.2, 0.8]", "[0.5, 0.5]"], False),
    ],
)
def test_probabilities_of_classes_are_no_numbers_to_predict_until_they_are_called_so(
    labels: list[Any], typed: bool
) -> None:
    with pytest.raises(ColumnsAmbiguous, match="soft labels") as caught:
        settled(labels, typed=typed)
    assert 'columns={"score": "label"}' in caught.value.hint


@pytest.mark.parametrize("labels", [[[0.2, 1.8], [0.9, 0.1]], [0.2, 0.8], [[0.5], [0.1]]])
def test_other_numbers_with_fractions_are_predicted(labels: list[Any]) -> None:
    assert settled(labels) == "regression"


def test_names_in_a_column_called_after_the_label_are_learnt() -> None:
    rows = [{"text": "a", "label": 0, "label_str": "no"}, {"text": "b", "label": 1, "label_str": "yes"}]
    found = normalise_rows(rows, choose_columns(list(rows[0])))
    assert [row["label"] for row in found] == [0, 1]
    assert found.label_names == ("no", "yes")


RECIPE = {"instruction": "i", "output": "o"}
BARE_PAIR = {"chosen": "a", "rejected": "b"}


@pytest.mark.parametrize("name", ["context_messages", "conversation_history", "passage", "knowledge", "sql_schema"])
@pytest.mark.parametrize("row", [ANSWER, RECIPE, PAIR, BARE_PAIR])
def test_what_a_prompt_may_have_been_written_with_is_never_passed_over(row: dict[str, Any], name: str) -> None:
    with pytest.raises(ColumnsAmbiguous, match=f"'{name}'") as caught:
        read({**row, name: "more"})
    assert f'"{name}": ""' in caught.value.hint
    assert read({**row, name: "more"}, {name: ""})["metadata"] == {name: "more"}
    assert read({**row, f"{name}_id": "7", f"{name}_length": "8"})["metadata"]
    assert read({**row, name: 3})["metadata"] == {name: 3}


@pytest.mark.parametrize(
    ("row", "name"),
    [(ANSWER, "solution"), (ANSWER, "explanation"), (RECIPE, "question"), (RECIPE, "query"), (BARE_PAIR, "problem")],
)
def test_a_second_question_or_answer_is_never_passed_over(row: dict[str, Any], name: str) -> None:
    with pytest.raises(ColumnsAmbiguous, match=f"'{name}'"):
        read({**row, name: "more"})
    assert read({**row, name: "more"}, {name: ""}) == {**read(row), "metadata": {name: "more"}}


@pytest.mark.parametrize("name", ["solution", "context", "article"])
def test_a_conversation_says_itself_all_that_was_read(name: str) -> None:
    assert read({**TALK, name: "more"})["metadata"] == {name: "more"}


def test_where_two_answers_come_from_is_not_their_prompt() -> None:
    row = read({**BARE_PAIR, "source": "evol_instruct", "prompt_id": "7"})
    assert row.get("prompt", "") == ""
    assert row["metadata"] == {"source": "evol_instruct", "prompt_id": "7"}


@pytest.mark.parametrize(
    "row",
    [
        {"document": "a long text", "summary": "short"},
        {"article": "a long text", "highlights": "short"},
        {"input_text": "a long text", "target_text": "short"},
    ],
)
def test_what_was_read_and_what_was_written_are_told_as_columns_that_work(row: dict[str, str]) -> None:
    source, target = row
    with pytest.raises(DatainfError) as refused:
        read(row)
    told = re.search(r"columns=(\{[^}]*\})", refused.value.hint)
    assert told is not None
    assert json.loads(told[1]) == {"prompt": source, "completion": target}
    assert read(row, json.loads(told[1]))["completion"] == "short"
