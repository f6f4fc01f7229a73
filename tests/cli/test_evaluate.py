"""`datainf evaluate` against a real HTTP server."""

import json
from functools import partial
from pathlib import Path

import pytest
from support.processes.contract_server import ContractServer, problem
from support.processes.terminal import Call, assert_harmless

from cli.commands.experiment import parse_methods
from influence.errors import InvalidRequest


@pytest.fixture
def call(call: Call) -> Call:
    return partial(call, "evaluate")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": "b", "variation": "c"}\n')
    return path


def test_rows_are_sent_the_work_is_watched_and_the_report_printed_and_written(
    call: Call, service: ContractServer, rows: Path, tmp_path: Path
) -> None:
    columns, out = '{"class": "variation"}', tmp_path / "deep" / "out"
    result = call(
        "class-attribution",
        "--data",
        rows,
        "--evaluation-data",
        rows,
        "--columns",
        columns,
        "--out",
        out,
        "--methods",
        "datainf,exact:10",
        "--seeds",
        "0,1",
        "--rows",
        90,
        "--lora-rank",
        4,
        "--epochs",
        3,
    )
    assert result.exit_code == 0, result.stderr
    assert [json.loads(form["columns"]) for form in service.bodies("/v1/datasets")] == [{"class": "variation"}] * 2
    assert service.bodies("/v1/evaluations")[0] == {
        "kind": "class-attribution",
        "dataset_id": "ds_1",
        "evaluation_dataset_id": "ds_1",
        "rows": 90,
        "seeds": [0, 1],
        "methods": [{"method": "datainf"}, {"method": "exact", "damping_scale": 10.0}],
        "lora": {"r": 4},
        "recipe": {"epochs": 3},
    }
    assert "0.712 (0.690 to 0.730)" in result.stdout
    assert "• It works." in result.stdout
    assert_harmless(result.stdout + result.stderr)
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert found == ["pictures/auc.png", "pictures/auc.svg", "report.json", "report.md"]
    assert (out / "pictures" / "auc.svg").read_text() == "picture auc.svg"
    assert (out / "report.md").read_text() == "# report\n"
    assert json.loads((out / "report.json").read_text())["report"]["figures"] == {"auc": 0.7123}


def test_an_index_is_judged_without_sending_rows(call: Call, service: ContractServer) -> None:
    result = call("lds", "--index", "idx_1", "--subsets", 8, "--json")
    assert result.exit_code == 0, result.stderr
    assert service.bodies("/v1/evaluations") == [{"kind": "lds", "index_id": "idx_1", "subsets": 8}]
    assert service.bodies("/v1/datasets") == []
    assert json.loads(result.stdout)["new_field"] == 1


def test_a_dry_run_says_what_it_takes_and_begins_nothing(call: Call, service: ContractServer) -> None:
    result = call("lds", "--index", "idx_1", "--subsets", 8, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "8 trainings of 1,200 steps together, about 90 s on one worker" in result.stdout
    assert service.bodies("/v1/evaluations/cost") == [{"kind": "lds", "index_id": "idx_1", "subsets": 8}]
    assert service.bodies("/v1/evaluations") == []


@pytest.mark.parametrize(
    ("kind", "fields", "columns"),
    [
        ("mislabelled", {"id", "text", "label"}, None),
        ("class-attribution", {"id", "prompt", "completion", "class"}, {"class": "class"}),
    ],
)
def test_rows_are_made_up_where_none_are_named(
    call: Call, service: ContractServer, kind: str, fields: set[str], columns: dict[str, str] | None
) -> None:
    result = call(kind, "--no-wait")
    assert result.exit_code == 0, result.stderr
    assert "The work goes on: datainf status job_1" in result.stdout
    train, test = service.bodies("/v1/datasets")
    for form in (train, test):
        assert json.loads(form.get("columns", "null")) == columns
        assert set(json.loads(form["file"][1].splitlines()[0])) == fields
    assert len(train["file"][1].splitlines()) > len(test["file"][1].splitlines())
    assert service.bodies("/v1/evaluations")[0]["evaluation_dataset_id"] == "ds_1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lds", "--index", "idx_1", "--dataset-id", "ds_1"), "Name exactly one source of rows."),
        (("lds", "--evaluation-dataset-id", "ds_1"), "without training rows"),
        (("calibrate", "--dataset-id", "ds_1"), "for one index"),
        (("mislabelled", "--subsets", "8"), "subsets: an evaluation of kind 'mislabelled' takes no such setting"),
        (("guess",), "does not match any of the expected tags"),
        (("lds", "--seeds", "0,x"), "no list of whole numbers"),
        (("lds", "--seeds", "1,1"), "stands here twice"),
        (("lds", "--methods", "datainf:often"), "'often' is no damping"),
        (("lds", "--methods", "datainf@tape"), "'datainf@tape' is not a method's name"),
        (("lds", "--flip-share", "1.5"), "flip_share"),
        (("lds", "--out", "somewhere", "--no-wait"), "without waiting"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_sent(
    call: Call, service: ContractServer, arguments: tuple[str, ...], told: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert service.sent == []


def test_a_folder_that_cannot_be_written_is_said_before_the_work(
    call: Call, service: ContractServer, rows: Path
) -> None:
    result = call("lds", "--index", "idx_1", "--out", rows / "below-a-file")
    assert result.exit_code == 1
    assert "is no folder" in result.stderr
    assert service.sent == []


def test_failed_work_and_refusals_are_told(call: Call, service: ContractServer) -> None:
    service.ending = "failed"
    assert "Row 7 is masked." in call("lds", "--index", "idx_1").stderr
    service.refusal = problem(409, "index_not_ready", "The index is still being built.")
    result = call("lds", "--index", "idx_1")
    assert result.exit_code == 1
    assert "still being built" in result.stderr


def test_methods_are_written_with_damping_and_storage() -> None:
    text = "datainf, exact:10,joint:0.5@compact64*3,datainf@compact,cosine@full,exact*2,exact#2,exact:3@compact8#1+12"
    text += ",datainf=square,exact:2#1=sum"
    assert parse_methods(text, "--methods") == [
        {"method": "datainf"},
        {"method": "exact", "damping_scale": 10.0},
        {"method": "joint", "damping_scale": 0.5, "storage": "compact", "rank": 64, "checkpoints": 3},
        {"method": "datainf", "storage": "compact"},
        {"method": "cosine", "storage": "full"},
        {"method": "exact", "checkpoints": 2},
        {"method": "exact", "epochs": [2]},
        {"method": "exact", "damping_scale": 3.0, "storage": "compact", "rank": 8, "epochs": [1, 12]},
        {"method": "datainf", "measurement": "square"},
        {"method": "exact", "damping_scale": 2.0, "epochs": [1], "reduction": "sum"},
    ]
    with pytest.raises(InvalidRequest):
        parse_methods("", "--methods")


def test_layers_are_named_as_the_hint_says(call: Call, service: ContractServer, rows: Path) -> None:
    """That of models without usual layers: they are named, or parts of the base model are trained in their place."""
    for options, asked in (
        (("--target-modules", "projection.linear, qkv"), {"lora": {"target_modules": ["projection.linear", "qkv"]}}),
        (("--trainable", "classifier"), {"trainable": ["classifier"]}),
    ):
        result = call("mislabelled", "--data", rows, "--base-model", "/models/levit", *options)
        assert result.exit_code == 0, result.stderr
        body = service.bodies("/v1/evaluations")[-1]
        assert {name: body[name] for name in asked} == asked
