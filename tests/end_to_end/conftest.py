"""A tiny checkpoint as a user has it."""

import zipfile
from pathlib import Path

import pytest
from support.tiny import TinyCheckpoint, make_classifier


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_zip(tiny: TinyCheckpoint) -> Path:
    """The adapter as a user uploads it."""
    path = tiny.adapter.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.write(tiny.adapter / name, name)
    return path
