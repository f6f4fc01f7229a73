"""The API and a worker over one store, as a caller meets them, in this process."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from app.settings import ApiSettings
from influence.store.data.files import Files
from influence.store.store import Store
from support.api import LocalClient
from support.service import running_worker
from support.tiny import TinyCheckpoint

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "config.json")
#: Longer than any job takes, however busy the machine.
_WAIT_SECONDS = 600
WAIT = {"Prefer": f"wait={_WAIT_SECONDS}"}


class Bench:
    """Calls that have to succeed; `client` is for those that may not."""

    def __init__(self, client: TestClient, store: Store) -> None:
        self.client = client
        self.store = store

    def send_adapter(self, tiny: TinyCheckpoint, **fields: str) -> Any:
        """The answer to an uploaded adapter."""
        files = {"adapter": ("adapter.zip", zip_adapter(tiny.adapter))}
        return self.client.post("/v1/checkpoints", data={"base_model": str(tiny.base), **fields}, files=files)

    def send_rows(self, rows: Sequence[dict[str, Any]], **fields: str) -> Any:
        """The answer to an uploaded data set."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return self.client.post("/v1/datasets", data=fields, files={"file": ("rows.jsonl", lines.encode())})

    def checkpoint(self, tiny: TinyCheckpoint, **fields: str) -> dict[str, Any]:
        return _accepted(self.send_adapter(tiny, **fields))

    def dataset(self, rows: Sequence[dict[str, Any]], **fields: str) -> dict[str, Any]:
        return _accepted(self.send_rows(rows, **fields))

    def index(self, checkpoint: dict[str, Any], dataset: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A built index."""
        ids = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}
        return self._done("/v1/indexes", {**ids, "max_length": 64, **fields})

    def query(self, index: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """An answered query."""
        return self._done(f"/v1/indexes/{index['id']}/queries", fields)

    def sweep(self, index: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A finished sweep over dampings."""
        return self._done(f"/v1/indexes/{index['id']}/sweeps", fields)

    def groups(self, index: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Finished groups."""
        return self._done(f"/v1/indexes/{index['id']}/groups", fields)

    def audit(self, index: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A finished audit."""
        return self._done(f"/v1/indexes/{index['id']}/audits", fields)

    def preview(self, checkpoint: dict[str, Any], dataset: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
        """The rows of a preview."""
        body = {"checkpoint_id": checkpoint["id"], "max_length": 64, **fields}
        return list(self._done(f"/v1/datasets/{dataset['id']}/preview", body)["rows"])

    def evaluate(self, **fields: Any) -> dict[str, Any]:
        """A finished evaluation."""
        return self._done("/v1/evaluations", fields)

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finished(self, begun: dict[str, Any], path: str) -> dict[str, Any]:
        """What the work that an answer names has made, once it is there."""
        assert '"succeeded"' in self.client.get(f"/v1/jobs/{begun['job_id']}/events").text
        return dict(self.get(path))

    def _done(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(path, json=body, headers=WAIT)
        assert answer.status_code in (200, 202), answer.text
        found = answer.json()
        assert found["state"] == "succeeded", found
        return dict(found)


@contextmanager
def open_bench(url: str, store: Store, folder: Path, **chosen: Any) -> Iterator[Bench]:
    """The API, with settings of its own, and a worker over one store, their files under `folder`/data, until the
    block ends. The worker keeps no test points: what is asked twice is computed twice, or none would see them differ.
    """
    files = Files(folder / "data")
    settings = ApiSettings(
        redis_url=url,
        data_dir=files.root,
        allowed_roots=(folder,),
        hub_offline=True,
        max_wait_seconds=_WAIT_SECONDS,
        **chosen,
    )
    with (
        running_worker(url, files.root, test_gradient_bytes=0),
        LocalClient(create_app(settings, store=store, files=files)) as client,
    ):
        yield Bench(client, store)


def zip_adapter(folder: Path) -> bytes:
    """The adapter as a user uploads it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in _ADAPTER_FILES:
            if (folder / name).is_file():
                archive.write(folder / name, name)
    return content.getvalue()


def _accepted(answer: Any) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())
