"""`datainf convert`: a packaged model into the data directory, in a process of its own that loads torch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from influence.checkpoint_files.base_models import converted_folder

_CONVERTING = (sys.executable, "-m", "workers.process.conversion")


def convert_command(
    name: Annotated[str, typer.Argument(help="Alias of the model, such as smollm2-135m.")],
    data_dir: Annotated[Path, typer.Option(help="The service's folder of data.", envvar="DATAINF_DATA_DIR")] = Path(
        ".datainf"
    ),
) -> None:
    """Convert a model that comes as a package, once: its alias names it from then on."""
    folder = converted_folder(data_dir.expanduser(), name)
    # A file workers.py in the current folder must not be taken for ours.
    done = subprocess.run([*_CONVERTING, name, str(folder)], env={**os.environ, "PYTHONSAFEPATH": "1"}, check=False)
    if done.returncode:
        raise typer.Exit(1)
    typer.echo(str(folder))
