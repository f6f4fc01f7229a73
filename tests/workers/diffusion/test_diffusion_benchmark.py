"""The script for real weights does what it says, on a tiny pipeline."""

from pathlib import Path

import pytest

from benchmarks.diffusion import main


def test_the_script_measures_a_pipeline_and_checks_its_gradients(
    latent_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--base", str(latent_pipeline), "--rows", "2", "--timesteps", "2"]) == 0
    said = capsys.readouterr().out
    assert "64 tensors, 0 of them row by row; 8,192 bytes per row" in said
    errors = [float(line.split("off by ")[1].split()[0]) for line in said.splitlines() if "off by" in line]
    assert len(errors) == 2
    assert max(errors) < 1e-4
    assert "2 rows x 2 timesteps: a training step" in said
