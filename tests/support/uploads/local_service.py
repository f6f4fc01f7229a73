"""The whole service in this process, as a user meets it over HTTP: the application and a worker on threads."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from app.settings import ApiSettings
from influence.store.store import Store
from support.api import LocalClient
from support.service import running_worker
from workers.runtime.state import Runtime


@dataclass(frozen=True)
class LocalService:
    """Calls answer their JSON; what fails, fails the test with the problem."""

    client: TestClient
    runtime: Runtime
    wait_until: Callable[..., None]

    def send_checkpoint(self, base: Path, adapter: Path, **fields: Any) -> Any:
        """The answer to a zip of an adapter folder on a base model's folder."""
        form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        return self.client.post(
            "/v1/checkpoints",
            files={"adapter": ("adapter.zip", zip_folder(adapter))},
            data={"base_model": str(base), **form},
        )

    def checkpoint(self, base: Path, adapter: Path, **fields: Any) -> dict[str, Any]:
        """An accepted checkpoint."""
        return taken(self.send_checkpoint(base, adapter, **fields))

    def dataset(self, rows: Path | Sequence[dict[str, Any]], **fields: str) -> dict[str, Any]:
        """An accepted data set."""
        name, content = ("rows.jsonl", to_jsonl(rows)) if not isinstance(rows, Path) else (rows.name, rows.read_bytes())
        return taken(self.client.post("/v1/datasets", files={"file": (name, content)}, data=fields))

    def send_dataset(self, file: Path, **fields: str) -> Any:
        """The answer to a file of rows."""
        return self.client.post("/v1/datasets", files={"file": (file.name, file.read_bytes())}, data=fields)

    def rows(self, dataset: dict[str, Any]) -> list[dict[str, Any]]:
        """The first rows of a data set, as it shows them."""
        page = taken(self.client.get(f"/v1/datasets/{dataset['id']}/rows", params={"length": 100}))
        return list(page["data"])

    def preview(self, checkpoint: dict[str, Any], dataset: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Rows as the checkpoint reads them."""
        body = {"checkpoint_id": checkpoint["id"], **fields}
        path = f"/v1/datasets/{dataset['id']}/preview"
        made = taken(self.client.post(path, json=body))
        self.finish(made["job_id"])
        return taken(self.client.get(f"/v1/previews/{made['id']}"))

    def index(self, checkpoint: dict[str, Any], dataset: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A built index."""
        body = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"], "max_length": 128, **fields}
        made = taken(self.client.post("/v1/indexes", json=body))
        self.finish(made["job_id"])
        return taken(self.client.get(f"/v1/indexes/{made['id']}"))

    def query(self, index: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """An answered query."""
        made = taken(self.client.post(f"/v1/indexes/{index['id']}/queries", json=fields))
        self.finish(made["job_id"])
        return taken(self.client.get(f"/v1/queries/{made['id']}"))

    def scores(self, index: dict[str, Any], example: dict[str, Any], **fields: Any) -> tuple[float, list[float]]:
        """Loss of a test point, and the influence of every row on it in the order of the rows."""
        answer = self.query(index, examples=[example], **fields)
        scores = taken(self.client.get(f"/v1/queries/{answer['id']}/scores"))
        (influence,) = scores["influence"]
        return answer["results"][0]["loss"], influence

    def finish(self, job_id: str) -> None:
        """Wait for a job to succeed; the store is asked, which costs less than the API."""
        jobs = self.runtime.store.jobs
        self.wait_until(lambda: jobs.require(job_id).is_final, f"{job_id} is final")
        job = taken(self.client.get(f"/v1/jobs/{job_id}"))
        assert job["state"] == "succeeded", job


@contextmanager
def local_service(
    url: str, store: Store, data_dir: Path, wait_until: Callable[..., None], roots: Sequence[Path]
) -> Iterator[LocalService]:
    """A service over the server at `url` that may read below `roots`, until the block ends."""
    with running_worker(url, data_dir) as runtime:
        settings = ApiSettings(redis_url=url, data_dir=data_dir, allowed_roots=list(roots), hub_offline=True)
        application = create_app(settings, store=store, files=runtime.files)
        with LocalClient(application) as client:
            wait_until(lambda: client.get("/health/ready").status_code == 200, "the worker is ready")
            yield LocalService(client, runtime, wait_until)


def taken(answer: Any) -> dict[str, Any]:
    """The body of an answer that has to be a success."""
    assert answer.status_code < 300, answer.text
    body: dict[str, Any] = answer.json()
    return body


def to_jsonl(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as a file of JSON lines."""
    return "\n".join(map(json.dumps, rows)).encode()


def zip_folder(folder: Path) -> bytes:
    """A folder as a user drags it in: every file, in folders as they lie."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.writestr(str(file.relative_to(folder)), file.read_bytes())
    return buffer.getvalue()
