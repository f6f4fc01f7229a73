"""`datainf build --run`: the checkpoints of a folder go up in one zip, and an index of each is waited for."""

import io
import zipfile
from pathlib import Path

import pytest
from support.processes.contract_server import ContractServer
from support.processes.terminal import Call, assert_harmless

from cli.commands.build_run import note_most_telling
from cli.printing.output import Output
from influence.contracts.index import GradientLengths, Index, IndexSpec
from influence.contracts.work import INDEX

NAMES = ("adapter_config.json", "adapter_model.safetensors", "trainer_state.json", "optimizer.pt")


def test_every_checkpoint_is_sent_and_built(call: Call, service: ContractServer, tmp_path: Path) -> None:
    for step in (10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in NAMES:
            (folder / name).write_text("{}")
    result = call("build", "--base-model", "b", "--run", tmp_path, "--dataset-id", "ds_1", "--max-length", 64)
    assert result.exit_code == 0, result.stderr
    (form,) = service.bodies("/v1/runs")
    with zipfile.ZipFile(io.BytesIO(form["run"][1])) as archive:
        assert archive.namelist() == [f"checkpoint-{step}/{name}" for step in (10, 20) for name in NAMES[:3]]
    settings = {"dataset_id": "ds_1", "max_length": 64}
    assert service.bodies("/v1/indexes") == [
        {"run_id": "run_1", **settings},
        {"checkpoint_id": "ckpt_10", **settings},
        {"checkpoint_id": "ckpt_30", **settings},
    ]
    assert "datainf query idx_1 --run-id run_1" in " ".join(result.stderr.split())
    assert_harmless(result.stdout + result.stderr)


def test_the_checkpoints_of_a_run_are_joined_where_that_is_asked(
    call: Call, service: ContractServer, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint-10"
    folder.mkdir()
    for name in NAMES[:2]:
        (folder / name).write_text("{}")
    asked = ["build", "--base-model", "b", "--run", tmp_path, "--dataset-id", "ds_1"]
    result = call(*asked, "--join", "--metric", "optimizer")
    assert result.exit_code == 0, result.stderr
    assert service.bodies("/v1/indexes") == [
        {"run_id": "run_1", "dataset_id": "ds_1", "join": True, "metric": "optimizer"}
    ]
    assert "in one code" in result.stderr
    assert "--run-id" not in result.stderr


def test_a_run_and_an_adapter_are_one_too_many(call: Call, service: ContractServer, tmp_path: Path) -> None:
    result = call("build", "--base-model", "b", "--run", tmp_path, "--adapter", tmp_path, "--dataset-id", "ds_1")
    assert result.exit_code != 0
    assert "exactly one checkpoint" in result.stderr
    assert service.sent == []


def test_the_checkpoint_of_the_longest_gradients_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def make(name: str, mean: float | None) -> Index:
        lengths = None if mean is None else GradientLengths(mean=mean, count=0.5)
        spec = IndexSpec(checkpoint_id="ckpt_1", dataset_id="ds_1", storage="full")
        return Index(**INDEX.begin(name), spec=spec, rows=3, gradient_lengths=lengths)

    output, ready = Output(), [(10, make("idx_a", 0.9)), (20, make("idx_b", 2.0)), (60, make("idx_c", 1.5))]
    note_most_telling(ready, output)
    assert "Longest gradients at step 20: of one checkpoint ask idx_b." in capsys.readouterr().err
    note_most_telling([*ready, (70, make("idx_d", None))], output)
    note_most_telling(ready[:1], output)
    assert capsys.readouterr().err == ""
