"""The commands of docs/curation.md, run as they stand there, one after another."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes.listening import listening
from support.rows import make_ticket_rows
from support.service import running_worker
from support.tiny import LABELS, make_classifier

from app.main import create_app
from app.settings import ApiSettings
from datainf_client import Client
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "curation.md"
#: Classes that the page names, in place of those of the tiny rows; it names row 410, too.
NAMES = dict(zip(LABELS, ("refund", "how_to", "fault"), strict=True))
ROWS = 412
#: A refusal ends the script; waiting takes as long as a busy machine needs.
SHELL = f"""
set -euo pipefail
curl() {{ command curl --fail-with-body "$@"; }}
datainf() {{ '{sys.executable}' -m cli.main "$@"; }}
"""


@pytest.fixture
def client(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Client]:
    """A service as the demo leaves it: an index, and rows held out."""
    files = Files(tmp_path / "data")
    settings = ApiSettings(
        redis_url=server.url, data_dir=files.root, allowed_roots=(tmp_path,), hub_offline=True, max_wait_seconds=600
    )
    tiny = make_classifier(tmp_path / "tiny")
    rows = [{**row, "label": NAMES[row["label"]]} for row in make_ticket_rows(ROWS + 20)]
    with (
        running_worker(server.url, files.root),
        listening(create_app(settings, store=store, files=files)) as url,
        Client(url) as made,
    ):
        checkpoint = made.checkpoints.create(str(tiny.base), tiny.adapter, label_names=list(NAMES.values()))
        made.datasets.create(rows[ROWS:], name="heldout.jsonl", label_names=list(NAMES.values()))
        train = made.datasets.create(rows[:ROWS], name="train.jsonl", label_names=list(NAMES.values()))
        made.indexes.create(checkpoint, train).wait(progress=False)
        yield made


def test_the_page_runs_as_written(client: Client, tmp_path: Path) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 13
    script = "".join(blocks).replace("http://127.0.0.1:8321", client.http.url).replace("wait=60", "wait=600")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
    here = {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "PYTHONPATH": str(PAGE.parents[1])}
    (tmp_path / "page.sh").write_text(SHELL + script)
    ran = subprocess.run(
        ["bash", "page.sh"], env={**environment, **here}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    first, second = sorted(client.indexes, key=lambda index: index.created_at)
    assert (first.rows, second.rows) == (ROWS, ROWS - 1)
    assert '"quer' in ran.stdout.splitlines()[-1]  # what changed
    assert len(list(client.groups)) == 2, "the page's what-if of the index found the groups that were there"
    (experiment,) = client.evaluations
    experiment.cancel()
