"""Label Studio and Argilla themselves take what is handed over, and what they write is taken back.

`make handover` installs their libraries into .handover/, apart from the product's own environment, and runs this file.
"""

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.stories.reviewing import Reviewing

from app.reviews.label_studio import REMOVE_CHOICE

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".handover" / "venv" / "bin" / "python"
SCRIPTS = ROOT / "tests" / "support" / "trials" / "handed"
#: What someone chooses in the other tool: rows 0 to 2 are billing, access and delivery.
CHOICES = {"0": "billing", "2": REMOVE_CHOICE, "6": "delivery"}
EXPECTED = {0: "keep", 1: "remove", 2: "remove", 3: "relabel", 6: "relabel"}

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=".handover/venv is not there: make handover")


@pytest.fixture
def decided(reviewing: Reviewing) -> Reviewing:
    """Two rows are decided before anything is handed over."""
    reviewing.decide({"row_index": 1, "action": "remove"}, {"row_index": 3, "action": "relabel", "label": "access"})
    return reviewing


def export(reviewing: Reviewing, **parameters: str) -> bytes:
    answer = reviewing.client.get(f"{reviewing.path}/export", params=parameters)
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def work(script: str, folder: Path) -> Path:
    """Let a script do its work in a folder, which has the choices; where it wrote to."""
    (folder / "choices.json").write_text(json.dumps(CHOICES))
    command = [str(PYTHON), str(SCRIPTS / script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def take_back(reviewing: Reviewing, path: Path) -> Any:
    with path.open("rb") as file:
        answer = reviewing.client.post(f"{reviewing.path}/import", files={"file": (path.name, file)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_label_studio_takes_tasks_and_its_export_comes_back(decided: Reviewing, tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_bytes(export(decided, format="label-studio-config"))
    (tmp_path / "tasks.json").write_bytes(export(decided, format="label-studio", mode="annotated"))
    (written,) = work("work_in_label_studio.py", tmp_path).glob("*.json")
    assert take_back(decided, written)["applied"] == len(EXPECTED)
    assert decided.decisions() == EXPECTED


def test_argilla_takes_the_folder_and_what_it_writes_comes_back(decided: Reviewing, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(export(decided, format="argilla", mode="annotated"))) as archive:
        archive.extractall(tmp_path / "in")
    written = work("work_in_argilla.py", tmp_path) / "records.json"
    records = {record["id"]: record for record in json.loads(written.read_text())}
    assert records["3"]["suggestions"]["label"]["value"] == "access", "what was decided is a suggestion there"
    assert take_back(decided, written)["applied"] == len(CHOICES)
    assert decided.decisions() == EXPECTED
