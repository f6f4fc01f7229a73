"""What the client depends on, and that its models are those of the contract."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_client_loads_neither_the_service_nor_pandas() -> None:
    names = ("influence", "app", "workers", "cli", "pandas", "numpy", "datasets")
    script = f"import sys, datainf_client; print([name for name in {names} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_frames_without_pandas_say_what_to_install() -> None:
    script = (
        "import sys; sys.modules['pandas'] = None\n"
        "from datainf_client.tables.frames import make_frame\n"
        "try: make_frame([])\nexcept ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "datainf-client[pandas]" in found.stdout


def test_generated_models_are_those_of_the_stored_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datamodel_code_generator", reason="datamodel-code-generator (extra dev) is not installed")
    monkeypatch.syspath_prepend(str(ROOT))
    from scripts.write_client_models import FOLDER, render

    for name, text in render().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run 'make client-models'"
