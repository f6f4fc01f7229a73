"""Packaged models as folders: kept where they lie, refused by name where nothing is installed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from influence.checkpoint_files import base_models
from influence.checkpoint_files.base_models import BaseModels, converted_folder, find_packaged
from influence.errors import BaseModelNotFound
from workers.process.conversion import convert, main


def test_an_alias_that_was_not_converted_says_how(tmp_path: Path) -> None:
    for data_dir in (None, tmp_path):
        with pytest.raises(BaseModelNotFound) as caught:
            BaseModels(aliases={}, allowed_roots=[], data_dir=data_dir).resolve("smollm2-135m")
        assert "datainf convert smollm2-135m" in caught.value.hint


def test_what_was_converted_is_the_base_and_is_left_as_it_is(tmp_path: Path) -> None:
    folder = converted_folder(tmp_path, "smollm2-135m")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    convert("smollm2-135m", folder)
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}
    found = BaseModels(aliases={}, allowed_roots=[], data_dir=tmp_path).resolve("smollm2-135m")
    assert (found.kind, found.location, found.name) == ("path", str(folder), "smollm2-135m")


def test_what_is_no_packaged_model_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BaseModelNotFound, match="minilm-l6"):
        find_packaged("minilm-l6")
    assert main("nothing", tmp_path / "nothing") == 1
    assert "smollm2-135m" in capsys.readouterr().err
    monkeypatch.setitem(base_models.BUILT_IN_ALIASES, "smollm2-135m", "converted:no_such_package/a.gguf")
    with pytest.raises(BaseModelNotFound, match="not installed"):
        convert("smollm2-135m", tmp_path / "smollm2-135m")
    assert not (tmp_path / "smollm2-135m").exists()


def test_the_command_tells_what_there_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["convert", "nothing", "--data-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "smollm2-135m" in capfd.readouterr().err
