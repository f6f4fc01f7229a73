"""Exports of annotation tools are read as the rows that they hold, or refused as what they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError
from influence.rows.file import RowFile


def accept(path: Path, content: str | list[dict[str, Any]], name: str = "a.json", **options: Any) -> Dataset:
    (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return accept_dataset(path / name, limits=TableLimits(), destination_root=path, **options)


def rows_of(path: Path, dataset: Dataset) -> list[dict[str, Any]]:
    with RowFile(path / dataset.id) as file:
        return list(file)


def record(label: Any, *more: Any, **fields: Any) -> dict[str, Any]:
    answers = [{"value": value, "user_id": "u"} for value in (label, *more)]
    return {
        "id": f"r{label}",
        "fields": {"text": "good film"},
        "metadata": {"source": "web"},
        "suggestions": {"label": {"value": "neg", "score": 0.4, "agent": "m"}},
        "responses": {"label": answers},
        "vectors": {},
        "_server_id": "s",
        **fields,
    }


def test_argilla_records_are_read(tmp_path: Path) -> None:
    dataset = accept(tmp_path, [record("pos"), record("neg", "neg")])
    assert dataset.format is not None
    assert dataset.format.export == "argilla"
    first, second = rows_of(tmp_path, dataset)
    assert (first["id"], first["text"], first["label"], second["label"]) == ("rpos", "good film", "pos", "neg")
    assert first["metadata"] == {"_server_id": "s", "source": "web", "label.suggestion": "neg", "vectors": {}}


def test_argilla_records_that_disagree_or_have_no_answer_are_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(DatainfError, match="several labels") as caught:
        accept(tmp_path, [record("pos"), record("neg", "pos")])
    assert caught.value.extra["row_indexes"] == [1]
    with pytest.raises(DatainfError, match="no label in") as caught:
        accept(tmp_path, [record("pos"), record("neg", responses={})])
    assert caught.value.extra["row_indexes"] == [1]


def test_flattened_argilla_records_are_read(tmp_path: Path) -> None:
    status = "label.responses.status"
    flat = {"label.responses.users": ["u", "v"], "label.suggestion": None}
    rows: list[dict[str, Any]] = [
        {
            "id": "1",
            "text": "a",
            "label.responses": ["pos", "pos"],
            "label.responses.status": ["submitted"] * 2,
            **flat,
        },
        {"id": "2", "text": "b", "label.responses": ["neg", "pos"], status: ["submitted", "draft"]},
    ]
    dataset = accept(tmp_path, rows)
    assert [row["label"] for row in rows_of(tmp_path, dataset)] == ["pos", "neg"]
    csv = 'id,text,label.responses\n1,a,"[""pos""]"\n2,b,"[""neg""]"\n'
    assert [row["label"] for row in rows_of(tmp_path, accept(tmp_path, csv, "a.csv"))] == ["pos", "neg"]


def task(*choices: list[str], **fields: Any) -> dict[str, Any]:
    annotations = [
        {
            "id": 1,
            "was_cancelled": False,
            "result": [{"from_name": "sentiment", "type": "choices", "value": {"choices": c}}],
        }
        for c in choices
    ]
    return {"id": len(str(fields)), "data": {"text": "film", "lang": "en"}, "annotations": annotations, **fields}


def test_label_studio_tasks_are_read(tmp_path: Path) -> None:
    cancelled = task(["Positive"], ["Negative"], x="yyyy")
    cancelled["annotations"][1]["was_cancelled"] = True
    dataset = accept(tmp_path, [task(["Negative"]), cancelled])
    assert dataset.format is not None
    assert dataset.format.export == "label-studio"
    assert dataset.columns == {"text": "text", "label": "sentiment", "id": "id"}
    assert [row["label"] for row in rows_of(tmp_path, dataset)] == ["Negative", "Positive"]
    assert rows_of(tmp_path, dataset)[0]["metadata"] == {"lang": "en"}


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([task(["A"]), task(["A", "B"], x="yyyy")], "several labels"),
        ([task(["A"]), task(["A"], ["B"], x="yyyy")], "several labels"),
        ([task(["A"]), task(x="yyyy")], "no label in"),
    ],
)
def test_label_studio_tasks_without_one_choice_are_refused_by_row(
    tmp_path: Path, tasks: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(DatainfError, match=said) as caught:
        accept(tmp_path, tasks)
    assert caught.value.extra["row_indexes"] == [1]


@pytest.mark.parametrize("control", ["label", "sentiment"])
def test_an_annotation_counts_and_not_the_label_that_it_replaces(tmp_path: Path, control: str) -> None:
    def replaced(old: str, new: str) -> dict[str, Any]:
        result = [{"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": [new]}}]
        return {"data": {"text": f"late {new}", "label": old}, "annotations": [{"result": result}]}

    studio = accept(tmp_path, [replaced("billing", "delivery"), replaced("delivery", "billing")])
    answer = {"value": "new", "user_id": "u"}
    argilla = accept(tmp_path, [{"fields": {"text": "a", "label": "old"}, "responses": {control: [answer]}}])
    flat = accept(tmp_path, [{"text": "a", "label": "old", f"{control}.responses": ["new"]}])
    assert [row["label"] for row in rows_of(tmp_path, studio)] == ["delivery", "billing"]
    assert rows_of(tmp_path, studio)[0]["metadata"]["data.label"] == "billing"
    for dataset, before in ((argilla, "fields.label"), (flat, "given.label")):
        (row,) = rows_of(tmp_path, dataset)
        assert (row["label"], row["metadata"][before]) == ("new", "old")


def test_annotators_who_differ_everywhere_are_no_rows_of_several_labels(tmp_path: Path) -> None:
    with pytest.raises(DatainfError, match="Row 0"):
        accept(tmp_path, [task(["A"], ["B"]), task(["B"], ["A"], x="yyyy")])
    with pytest.raises(DatainfError, match="Row 0"):
        accept(tmp_path, [record("pos", "neg"), record("neg", "pos")])


def test_flat_label_studio_files_are_known(tmp_path: Path) -> None:
    rows = [
        {"annotation_id": n, "annotator": 1, "id": n, "lead_time": 2.5, "sentiment": label, "text": "film"}
        for n, label in enumerate(["Positive", "Negative"])
    ]
    dataset = accept(tmp_path, rows)
    assert dataset.format is not None
    assert dataset.format.export == "label-studio"
    assert dataset.metadata_columns == {"annotation_id": "number", "annotator": "number", "lead_time": "number"}


def test_cleanlab_tables_have_the_label_that_was_given(tmp_path: Path) -> None:
    csv = "text,is_label_issue,label_score,given_label,predicted_label\nfilm,True,0.1,pos,neg\nfoo,False,0.9,neg,neg\n"
    dataset = accept(tmp_path, csv, "a.csv")
    assert dataset.columns == {"text": "text", "label": "given_label"}
    first = rows_of(tmp_path, dataset)[0]
    assert (first["label"], first["metadata"]["predicted_label"]) == ("pos", "neg")
    assert dataset.metadata_columns["is_label_issue"] == "boolean"


def test_a_cleanlab_table_without_texts_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatainfError, match="holds no texts") as caught:
        accept(tmp_path, ",is_label_issue,label_score,given_label,predicted_label\n0,True,0.1,a,b\n", "a.csv")
    assert "Join it" in caught.value.hint


def test_preferences_of_openais_fine_tuning_are_pairs(tmp_path: Path) -> None:
    ask, good, bad = ({"role": role, "content": role} for role in ("user", "assistant", "assistant"))
    tools = [{"type": "function", "function": {"name": "f"}}]
    asked = {"messages": [ask], "tools": tools, "parallel_tool_calls": True}
    bad = {**bad, "content": "no"}
    dataset = accept(tmp_path, [{"input": asked, "preferred_output": [good], "non_preferred_output": [bad]}] * 2)
    assert dataset.format is not None
    assert (dataset.kind, dataset.format.export) == ("preference", "openai")
    row = rows_of(tmp_path, dataset)[0]
    assert (row["prompt"], row["chosen"], row["rejected"]) == ([ask], [good], [bad])
    assert (row["tools"], row["metadata"]) == (tools, {"parallel_tool_calls": True})


def accepted(**fields: Any) -> dict[str, Any]:
    return {"text": "My parcel", "_input_hash": 1, "_task_hash": 2, "answer": "accept", **fields}


CHOICES: dict[str, Any] = {"options": [{"id": "POS"}, {"id": "NEG"}]}


@pytest.mark.parametrize(
    ("fields", "label"),
    [({"label": "POS"}, "POS"), ({**CHOICES, "accept": ["NEG"]}, "NEG")],
)
def test_prodigy_tasks_have_the_label_that_was_accepted(tmp_path: Path, fields: dict[str, Any], label: str) -> None:
    dataset = accept(tmp_path, [accepted(**fields)] * 2)
    assert dataset.format is not None
    assert (dataset.kind, dataset.format.export) == ("classification", "prodigy")
    assert [row["label"] for row in rows_of(tmp_path, dataset)] == [label, label]


@pytest.mark.parametrize("answer", ["reject", "ignore", None])
@pytest.mark.parametrize("fields", [{"label": "POS"}, {**CHOICES, "accept": ["POS"]}])
def test_prodigy_tasks_that_were_not_accepted_have_no_label(
    tmp_path: Path, fields: dict[str, Any], answer: str | None
) -> None:
    with pytest.raises(DatainfError, match="no label") as caught:
        accept(tmp_path, [accepted(**fields), accepted(**fields, answer=answer)])
    assert caught.value.extra["row_indexes"] == [1]


def test_spans_of_annotation_tools_are_spans_once_they_are_named(tmp_path: Path) -> None:
    span = {"start": 3, "end": 9, "label": "THING"}
    tagged = accepted(spans=[{**span, "token_start": 1, "token_end": 1}], tokens=[{"text": "My"}, {"text": "parcel"}])
    value = {"start": 3, "end": 9, "text": "parcel", "labels": ["THING"]}
    result = [{"from_name": "label", "type": "labels", "value": value}]
    studio = {"id": 1, "data": {"text": "My parcel"}, "annotations": [{"result": result}]}
    doccano = {"text": "My parcel", "label": [[3, 9, "THING"]]}
    for row, column in ((tagged, "spans"), (studio, "label"), (doccano, "label")):
        dataset = accept(tmp_path, [row], columns={"text": "text", "spans": column})
        assert rows_of(tmp_path, dataset)[0]["label"] == [span]
    for row in (studio, doccano):
        with pytest.raises(DatainfError) as caught:
            accept(tmp_path, [row])
        assert '"spans": "label"' in caught.value.hint


def test_lists_of_one_class_are_classes_where_the_role_is_named(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": ["pos"]}, {"text": "b", "label": ["neg"]}]
    assert accept(tmp_path, rows).kind == "multi_label_classification"
    dataset = accept(tmp_path, rows, columns={"text": "text", "label": "label"})
    assert dataset.kind == "classification"
    assert [row["label"] for row in rows_of(tmp_path, dataset)] == ["pos", "neg"]
    more = [*rows, {"text": "c", "label": ["pos", "neg"]}]
    assert accept(tmp_path, more, columns={"text": "text", "label": "label"}).kind == "multi_label_classification"
