"""The Python of client/README.md, run as it stands there."""

import re
from pathlib import Path

import pandas as pd
import pytest
from support.processes.listening import listening
from support.rows import make_ticket_rows
from support.service import running_worker
from support.tiny import make_classifier

from app.main import create_app
from app.settings import ApiSettings
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

PAGE = Path(__file__).resolve().parents[2] / "client" / "README.md"
URL = "http://127.0.0.1:8321"


def test_the_guide_runs_as_written(
    server: EmbeddedServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    tiny = make_classifier(tmp_path)
    frame = pd.DataFrame(make_ticket_rows(48)).assign(source=["web", "mail"] * 24)
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    files = Files(tmp_path / "data")
    settings = ApiSettings(
        redis_url=server.url, data_dir=files.root, hub_offline=True, base_model_aliases={"minilm-l6": str(tiny.base)}
    )
    monkeypatch.chdir(tmp_path)
    with running_worker(server.url, files.root), listening(create_app(settings, store=store, files=files)) as url:
        known: dict[str, object] = {}
        for block in blocks:
            exec(compile(block.replace(URL, url), str(PAGE), "exec"), known)  # noqa: S102 - our own page
        known["client"].close()  # type: ignore[attr-defined]
    assert (len(known["frame"]), len(known["cleaned"])) == (48, 47)  # type: ignore[arg-type]
