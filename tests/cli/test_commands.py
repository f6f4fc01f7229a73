"""The client commands against a real HTTP server."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from support.processes.contract_server import KEY, ContractServer, problem
from support.processes.terminal import Call, assert_harmless

from cli.client.test_points import parse_rows
from cli.printing.text import plain
from influence.errors import InvalidRequest


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "optimizer.pt").write_bytes(b"a pickle that must stay here")
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "label": 0}\n')
    return path


def test_build_sends_everything_and_watches_until_the_index_is_ready(
    call: Call, service: ContractServer, adapter: Path, rows: Path
) -> None:
    result = call(
        "build",
        "--base-model",
        "minilm-l6",
        "--adapter",
        adapter,
        "--data",
        rows,
        "--columns",
        '{"text": "t"}',
        "--label-names",
        "no,yes",
        "--storage",
        "full",
        "--kronecker",
        "--max-length",
        64,
    )
    assert result.exit_code == 0, result.stderr
    assert "Ready: idx_1: 800 rows" in result.stdout
    assert "(1.0 KB per row)" in result.stdout
    form = service.bodies("/v1/checkpoints")[0]
    assert (form["base_model"], json.loads(form["label_names"])) == ("minilm-l6", ["no", "yes"])
    with zipfile.ZipFile(io.BytesIO(form["adapter"][1])) as archive:
        assert archive.namelist() == ["adapter_config.json", "adapter_model.safetensors"]
        assert archive.read("adapter_model.safetensors") == b"weights"
    form = service.bodies("/v1/datasets")[0]
    assert form["file"] == ("rows.jsonl", rows.read_bytes())
    assert json.loads(form["columns"]) == {"text": "t"}
    expected = {"checkpoint_id": "ckpt_1", "dataset_id": "ds_1", "storage": "full", "max_length": 64, "kronecker": True}
    assert service.bodies("/v1/indexes") == [expected]
    assert_harmless(result.stdout + result.stderr)


def test_the_same_folder_is_sent_as_the_same_bytes(call: Call, service: ContractServer, adapter: Path) -> None:
    for _ in range(2):
        call("build", "--base-model", "b", "--adapter", adapter, "--dataset-id", "ds_1", "--no-wait")
        (adapter / "adapter_model.safetensors").touch()
    first, second = service.bodies("/v1/checkpoints")
    assert first["adapter"] == second["adapter"]


def test_a_build_is_polled_where_events_do_not_come_through(call: Call, service: ContractServer) -> None:
    service.events = False
    result = call("build", "--checkpoint-id", "ckpt_1", "--dataset-id", "ds_1")
    assert result.exit_code == 0
    assert service.polls == 1


def test_a_grown_index_says_what_it_kept(call: Call, service: ContractServer) -> None:
    service.growth = {
        "grown_from": "idx_0",
        "grown_from_job": "job_0",
        "rows_reused": 760,
        "rows_reused_late": 0,
        "rows_computed": 40,
        "rows_removed": 3,
        "baseline": 0.1,
        "residual": 0.1,
        "basis_age": 0.05,
    }
    result = call("build", "--checkpoint-id", "ckpt_1", "--dataset-id", "ds_1", "--grow-from", "idx_0")
    assert result.exit_code == 0, result.stderr
    assert service.bodies("/v1/indexes")[0]["grow_from"] == "idx_0"
    said = " ".join(result.stderr.split())
    assert "Grown from idx_0: 760 rows kept, 40 computed, 3 left. 5% of the rows are newer than the basis." in said


def test_json_stands_alone_on_stdout(call: Call, adapter: Path, rows: Path) -> None:
    result = call("build", "--base-model", "b", "--adapter", adapter, "--data", rows, "--json")
    assert json.loads(result.stdout)["new_field"] == 1
    assert "Checkpoint  ckpt_1" in result.stderr


def test_without_waiting_the_ids_are_enough(call: Call, service: ContractServer) -> None:
    result = call("build", "--checkpoint-id", "ckpt_1", "--dataset-id", "ds_1", "--no-wait", "--json")
    assert json.loads(result.stdout)["job_id"] == "job_1"
    assert len(service.sent) == 1


def test_an_index_that_exists_is_not_watched(call: Call, service: ContractServer) -> None:
    service.existing = True
    result = call("build", "--checkpoint-id", "ckpt_1", "--dataset-id", "ds_1")
    assert result.exit_code == 0
    assert "was built before" in result.stderr
    assert len(service.sent) == 1


def test_a_failed_build_says_why(call: Call, service: ContractServer) -> None:
    service.ending = "failed"
    result = call("build", "--checkpoint-id", "ckpt_1", "--dataset-id", "ds_1", "--json")
    assert result.exit_code == 1
    assert "Row 7 is masked." in result.stderr
    assert "Drop it." in result.stderr
    assert json.loads(result.stdout)["code"] == "row_masked"


def test_a_cancelled_build_is_not_a_success(call: Call, service: ContractServer) -> None:
    service.ending = "cancelled"
    result = call("build", "--checkpoint-id", "ckpt_1", "--dataset-id", "ds_1")
    assert result.exit_code == 1
    assert "was cancelled" in result.stderr


def test_a_folder_without_safetensors_is_refused_here(call: Call, service: ContractServer, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    arguments = ("build", "--base-model", "b", "--adapter", adapter, "--dataset-id", "ds_1")
    assert "adapter_model.safetensors missing" in call(*arguments).stderr.replace("\n", " ")
    (adapter / "adapter_model.bin").touch()
    assert "pickle" in call(*arguments).stderr
    assert service.sent == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build"], "Name exactly one checkpoint."),
        (["build", "--checkpoint-id", "c"], "Name exactly one source of rows."),
        (["build", "--checkpoint-id", "c", "--data", "missing.jsonl"], "cannot be read"),
        (["build", "--checkpoint-id", "c", "--dataset-id", "d", "--columns", "text=a"], "--columns is not JSON"),
        (["build", "--checkpoint-id", "c", "--dataset-id", "d", "--storage", "tape"], "storage"),
        (["build", "--checkpoint-id", "c", "--dataset-id", "d", "--rank", "0"], "rank"),
        (["query", "idx_1", "--text", "a", "--k", "0"], "k: "),
        (["query", "idx_1"], "exactly one source"),
        (["query", "idx_1", "--text", "a", "--example", "{}"], "exactly one source"),
        (["query", "idx_1", "--text", "a", "--label", "x", "--label", "y"], "1 texts and 2 labels"),
        (["query", "idx_1", "--example", "[1]"], "not a JSON object"),
        (["query", "idx_1", "--dataset", "ds_1", "--rows", "1,x"], "not a row index"),
        (["query", "idx_1", "--text", "a", "--order", "sideways"], "order"),
        (["query", "idx_1", "--text", "a", "--exact", "yes"], "none of its values"),
        (["query", "idx_1", "--text", "a", "--include", "words"], "include.0"),
        (["query", "idx_1", "--example", '{"text": NaN}'], "cannot be written as JSON"),
        (["query", "idx_1", "--example", '{"text": "\\ud800"}'], "cannot be written as JSON"),
        (["query", "idx_1", "--text", "a", "--checkpoint", "idx_1"], "not an index and its weight"),
        (["query", "idx_1", "--text", "a", "--checkpoint", "idx_1=0"], "checkpoints"),
        (["sweep", "idx_1", "--text", "a", "--damping-scale", "1"], "at least 2 items"),
        (["sweep", "idx_1"], "exactly one source"),
        (["status", "../../etc"], "is not an id"),
        (["cancel", "idx_1"], "is not a job's id"),
    ],
)
def test_a_wrong_call_is_refused_before_it_is_sent(
    call: Call, service: ContractServer, arguments: list[str], said: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    assert "Hint:" in result.stderr
    assert service.sent == []


def test_a_query_shows_both_directions_and_no_control_characters(call: Call, service: ContractServer) -> None:
    result = call("query", "idx_1", "--text", "where is my refund", "--label", "billing", "--k", 2)
    assert result.exit_code == 0, result.output
    assert service.bodies("/v1/indexes/idx_1/queries") == [
        {"method": "auto", "examples": [{"text": "where is my refund", "label": "billing"}], "k": 2}
    ]
    assert service.headers[-1]["prefer"].startswith("wait=")
    for shown in ("Most helpful", "Most harmful", "+2.5", "-3.5", "helpful", "harmful", "shipping (75%)", "42 ms"):
        assert shown in result.stdout
    assert "\\x1b[2J[red]boo[/red]\\u202e next" in result.stdout
    assert "[bold]x" in result.stdout
    assert_harmless(result.stdout)


def test_parts_of_answers_and_other_answers_are_asked_about(call: Call, service: ContractServer) -> None:
    row = '{"prompt": "a", "completion": "b c"}'
    assert call("query", "idx_1", "--example", row, "--span", "2:3").exit_code == 0
    assert call("query", "idx_1", "--example", row, "--target", "prediction", "--against", "42").exit_code == 0
    part, other = service.bodies("/v1/indexes/idx_1/queries")
    assert part["target"] == {"span": [2, 3]}
    assert (other["target"], other["against"]) == ("prediction", "42")
    for wrong in (["--span", "3:3"], ["--target", "best"], ["--span", "1:2", "--against", "x"]):
        refused = call("query", "idx_1", "--example", row, *wrong)
        assert refused.exit_code != 0
        assert "target" in refused.output or "against" in refused.output


def test_what_an_answer_tells_beside_is_asked_for(call: Call, service: ContractServer) -> None:
    asked = ("query", "idx_1", "--text", "a", "--label", "3")
    assert call(*asked, "--exact", "true", "--include", "tokens,levels", "--tokens-by", "loss").exit_code == 0
    assert call(*asked, "--exact", "auto", "--top", 3).exit_code == 0
    first, second = service.bodies("/v1/indexes/idx_1/queries")
    assert (first["exact"], first["include"], first["tokens_by"]) == (True, ["tokens", "levels"], "loss")
    assert (second["exact"], second["k"]) == ("auto", 3)


def test_plain_similarity_is_shown_beside(call: Call, service: ContractServer) -> None:
    result = call("query", "idx_1", "--text", "a", "--label", "3", "--compare", "embedding")
    assert result.exit_code == 0, result.output
    assert service.bodies("/v1/indexes/idx_1/queries")[0]["compare"] == ["embedding"]
    shown = " ".join(result.stdout.split())
    assert "embedding would have shown; 50% are among the most helpful" in shown
    assert "+0.875" in shown


def test_a_query_that_takes_longer_is_waited_for(call: Call, service: ContractServer) -> None:
    service.prompt = False
    result = call("query", "idx_1", "--text", "a", "--label", "3", "--json")
    assert json.loads(result.stdout)["results"][0]["helpful"][0]["score"] == 2.5
    assert service.bodies("/v1/indexes/idx_1/queries")[0]["examples"] == [{"text": "a", "label": 3}]


def test_test_points_come_from_a_file_or_a_data_set(call: Call, service: ContractServer, rows: Path) -> None:
    call("query", "idx_1", "--file", rows, "--aggregate", "mean")
    call("query", "idx_1", "--file", "-", input='{"text": "b"}\n\n{"text": "c"}\n')
    call("query", "idx_1", "--dataset", "ds_1", "--rows", "1,2,5-7", "--damping-scale", "0.5")
    from_file, from_input, from_dataset = service.bodies("/v1/indexes/idx_1/queries")
    assert from_file == {"method": "auto", "examples": [{"text": "a", "label": 0}], "aggregate": "mean"}
    assert "method" not in from_dataset  # a damping is that of the service's own default
    assert from_input["examples"] == [{"text": "b"}, {"text": "c"}]
    assert from_dataset["rows"] == {"dataset_id": "ds_1", "row_indexes": [1, 2, 5, 6, 7]}
    assert from_dataset["damping_scale"] == 0.5


def test_a_sum_over_checkpoints_is_sent_and_shown(call: Call, service: ContractServer) -> None:
    weights = ("--checkpoint", "idx_1=0.001", "--checkpoint", "idx_2=5e-4")
    result = call("query", "idx_1", "--text", "a", "--label", "x", "--method", "tracin", *weights)
    assert result.exit_code == 0, result.output
    (body,) = service.bodies("/v1/indexes/idx_1/queries")
    sent = [{"index_id": "idx_1", "weight": 0.001}, {"index_id": "idx_2", "weight": 0.0005}]
    assert (body["method"], body["checkpoints"]) == ("tracin", sent)
    assert "summed over idx_1 x 0.001, idx_2 x 0.0005" in " ".join(result.stdout.split())


def test_a_sweep_shows_a_line_a_damping_and_every_pair(call: Call, service: ContractServer) -> None:
    scales = ("--damping-scale", "0.5", "--damping-scale", "1")
    result = call("sweep", "idx_1", "--text", "a", "--label", "x", "--method", "exact", *scales)
    assert result.exit_code == 0, result.output
    expected = {"examples": [{"text": "a", "label": "x"}], "method": "exact", "damping_scales": [0.5, 1.0]}
    assert service.bodies("/v1/indexes/idx_1/sweeps") == [expected]
    for shown in ("1 (default)", "0.875", "88%", "0.88", "2 test points", "800 rows scored"):
        assert shown in result.stdout
    found = json.loads(call("sweep", "idx_1", "--text", "a", "--label", "x", "--json").stdout)
    assert found["result"]["spearman"][0] == [1.0, 0.875]


def test_a_broken_line_is_named(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"text": "a"}\n{"text"\n')
    assert "Line 2 of" in call("query", "idx_1", "--file", path).stderr


def test_status_shows_the_service_even_when_it_is_not_ready(call: Call) -> None:
    result = call("status")
    assert result.exit_code == 0
    for shown in ("unsafe, 1 worker", "Redis may evict.", "idx_1", "800.0 KB", "400 of 800 rows", "200 rows/s"):
        assert shown in result.stdout
    assert set(json.loads(call("status", "--json").stdout)) == {"ready", "indexes", "jobs"}


def test_status_of_one_resource(call: Call) -> None:
    assert "800 of 800 rows" in call("status", "job_1").stdout
    shown = call("status", "idx_1").stdout
    assert "ckpt_1" in shown
    assert_harmless(shown)


def test_cancel_says_how_the_job_stands(call: Call, service: ContractServer) -> None:
    assert "job_1: cancelled" in call("cancel", "job_1").stdout
    assert service.sent == [("DELETE", "/v1/jobs/job_1", None)]


def test_a_problem_is_shown_with_its_hint(call: Call, service: ContractServer) -> None:
    service.refusal = problem(409, "index_not_ready", "The index is at 40 %.")
    result = call("query", "idx_1", "--text", "a", "--json")
    assert result.exit_code == 1
    assert "The index is at 40 %." in result.stderr
    assert "Do better" in result.stderr
    assert_harmless(result.stderr)
    assert json.loads(result.stdout)["code"] == "index_not_ready"


@pytest.mark.parametrize("body", ["<html>proxy \x1b[2J</html>", "[1]", '{"hello": "there"}'])
def test_an_answer_that_is_not_ours_is_named(call: Call, service: ContractServer, body: str) -> None:
    service.refusal = Response(body, 502)
    result = call("status", "idx_1")
    assert result.exit_code == 1
    assert "was not the API's" in result.stderr
    assert_harmless(result.stderr)


def test_an_answer_of_another_version_is_named(call: Call, service: ContractServer) -> None:
    service.refusal = Response('{"id": "qry_1"}', 200)
    result = call("query", "idx_1", "--text", "a")
    assert result.exit_code == 1
    assert "Unexpected response from the service" in result.stderr


def test_the_key_is_sent_as_a_bearer(call: Call, service: ContractServer) -> None:
    call("status", "job_1", "--api-key", KEY)
    assert service.headers[-1]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:9", "http://[nonsense", "ftp://127.0.0.1"])
def test_no_service_is_told_in_words(call: Call, url: str) -> None:
    result = call("status", "--url", url)
    assert result.exit_code == 1
    assert "datainf serve" in result.stderr or "is not an http(s) URL" in result.stderr


def test_the_command_starts_without_the_heavy_libraries() -> None:
    script = "import sys, cli.main; print([m for m in ('torch', 'pyarrow', 'fastapi', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@given(st.text())
def test_plain_text_is_one_printable_line(text: str) -> None:
    shown = plain(text)
    assert_harmless(shown)
    assert "\n" not in shown
    shown.encode()


def test_row_ranges_are_bounded() -> None:
    assert parse_rows("3, 5-6") == [3, 5, 6]
    for text in ("0-999999999", "5-3", "", "-1"):
        with pytest.raises(InvalidRequest):
            parse_rows(text)


def test_a_plain_model_is_named_by_its_trained_modules(call: Call, service: ContractServer, rows: Path) -> None:
    result = call(
        "build",
        "--base-model",
        "b",
        "--trainable",
        "classifier",
        "--trainable",
        "*.layer.5",
        "--data",
        rows,
        "--label-names",
        "no,yes",
        "--no-wait",
    )
    assert result.exit_code == 0, result.stderr
    expected = {"base_model": "b", "label_names": ["no", "yes"], "trainable": ["classifier", "*.layer.5"]}
    assert service.bodies("/v1/checkpoints") == [expected]


@pytest.mark.parametrize(
    "named",
    [
        ["--trainable", "classifier"],
        ["--base-model", "b"],
        ["--base-model", "b", "--trainable", "a", "--checkpoint-id", "ckpt_1"],
        ["--base-model", "b", "--trainable", "a", "--adapter", "x"],
    ],
)
def test_a_checkpoint_is_named_in_one_way(call: Call, service: ContractServer, named: list[str]) -> None:
    result = call("build", *named, "--dataset-id", "ds_1")
    assert result.exit_code == 1
    assert "--trainable" in result.stderr
    assert service.sent == []
