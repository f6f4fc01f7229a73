"""Inputs from public bug reports, with the answers that are right for them. They lie beside the repository."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases"
LLAMA, BERT = CASES / "00-bases" / "llama", CASES / "00-bases" / "bert"


def case_folder(name: str) -> Path:
    """The folder of a case; the test is skipped where the cases are absent."""
    folder = CASES / name
    if not folder.is_dir():
        pytest.skip(f"the case {name} is not on this machine")
    return folder


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file's object."""
    content: dict[str, Any] = json.loads(file.read_bytes())
    return content


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def assert_right(found: tuple[float, Sequence[float]], case: Path) -> None:
    """Loss and influences of the case's test row are those of right.json, but for the rounding of float32."""
    loss, influence = found
    right = read_json(case / "right.json")
    assert loss == pytest.approx(right["test_loss"], rel=1e-4)
    expected = right["influence_damping_scale_0.1"]
    assert influence == pytest.approx(expected, rel=5e-3, abs=1e-3 * max(map(abs, expected)))
