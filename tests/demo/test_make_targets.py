"""The commands behind `make` take the arguments that the Makefile gives them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("target", ["demo", "demo-images", "demo-lm"])
def test_a_target_calls_a_command_that_understands_it(target: str) -> None:
    # As if everything were installed: only the target's own line is of interest. A make around this one talks, too.
    asked = ["make", "--dry-run", "--old-file=.venv/.installed", "--old-file=.venv/.lm", target, "ARGS=--help"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    planned = subprocess.run(asked, cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    command = shlex.split(planned.stdout.strip().splitlines()[-1])
    assert command[1:] == ["-m", target.replace("-", "."), "--help"]
    done = subprocess.run([sys.executable, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
