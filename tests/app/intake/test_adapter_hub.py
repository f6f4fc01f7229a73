"""Adapters and base models on a hub, from a hub of our own on this machine."""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants

from app.intake.hub_model import check_base, fetch_adapter, pin_revision
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import (
    BaseModelNotFound,
    DatainfError,
    InvalidRequest,
    NotFound,
    PickleRefused,
    TooLarge,
    Unavailable,
    UnsupportedModule,
)

COMMIT = "d" * 40


class Hub(BaseHTTPRequestHandler):
    """Serves the model `owner/lora` at `main`."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {
        "README.md": b"words",
        "adapter_config.json": b"{}",
        "adapter_model.safetensors": b"weights",
        "training_args.bin": b"pickle",
    }

    #: Base models of `owner`, by name.
    bases: ClassVar[dict[str, dict[str, bytes]]] = {
        "plain": {"config.json": b"{}", "model.safetensors": b""},
        "merged": {"config.json": b"{}", "model.safetensors.index.json": b"", "adapter_config.json": b"{}"},
        "packed": {
            "config.json": b'{"quantization_config": {"quant_method": "gptq"}}',
            "model.safetensors": b"",
        },
        "pickled": {"config.json": b"{}", "pytorch_model.bin": b""},
        "empty": {"README.md": b""},
    }

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in ("/api/models/owner/lora", "/api/models/owner/lora/revision/main"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            self._answer(200, json.dumps({"id": "owner/lora", "sha": COMMIT, "siblings": siblings}).encode())
        elif (name := path.removeprefix("/api/models/owner/").partition("/")[0]) in self.bases:
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.bases[name].items()]
            self._answer(200, json.dumps({"id": f"owner/{name}", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.endswith(f"/resolve/{COMMIT}/config.json") and (name := path.split("/")[2]) in self.bases:
            self._answer(200, self.bases[name]["config.json"], {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"'})
        elif path.startswith("/api/models/owner/lora/"):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/broken/"):
            self._answer(500, b"{}")
        elif (name := path.removeprefix(f"/owner/lora/resolve/{COMMIT}/")) in self.files:
            tag = hashlib.sha1(name.encode()).hexdigest()
            self._answer(200, self.files[name], {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'})
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_the_adapters_files_are_fetched(hub: str, tmp_path: Path) -> None:
    fetch_adapter("owner/lora", revision=None, folder=tmp_path, max_bytes=1000, endpoint=hub)
    found = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert found == {"adapter_config.json", "adapter_model.safetensors", "README.md", "training_args.bin"}


def test_a_moving_name_becomes_a_commit(hub: str) -> None:
    base = BaseModelRef(name="owner/lora", kind="hub", location="owner/lora")
    assert pin_revision(base, endpoint=hub).revision == COMMIT


@pytest.mark.parametrize(
    ("hub_id", "revision", "max_bytes", "error"),
    [
        ("owner/lora", "gone", 1000, NotFound),
        ("owner/other", None, 1000, NotFound),
        ("owner/lora", None, 3, TooLarge),
        ("broken/lora", None, 1000, Unavailable),
        ("not an id", None, 1000, InvalidRequest),
    ],
)
def test_what_the_hub_does_not_give_is_refused(
    hub: str, tmp_path: Path, hub_id: str, revision: str | None, max_bytes: int, error: type[DatainfError]
) -> None:
    with pytest.raises(error) as refusal:
        fetch_adapter(hub_id, revision=revision, folder=tmp_path, max_bytes=max_bytes, endpoint=hub)
    assert refusal.value.hint


def base_on(name: str) -> BaseModelRef:
    return BaseModelRef(name=f"owner/{name}", kind="hub", location=f"owner/{name}", revision=COMMIT)


def test_an_adapter_that_was_left_beside_a_base_on_the_hub_is_told_of(hub: str) -> None:
    assert check_base(base_on("plain"), endpoint=hub)[0] == ()
    (doubt,), _ = check_base(base_on("merged"), endpoint=hub)
    assert "holds an adapter, too" in doubt


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("packed", UnsupportedModule, "gptq"),
        ("pickled", PickleRefused, "pickles only"),
        ("empty", BaseModelNotFound, "no config.json"),
    ],
)
def test_a_base_on_the_hub_that_no_worker_could_load_is_refused_at_once(
    hub: str, name: str, error: type[DatainfError], told: str
) -> None:
    with pytest.raises(error, match=told):
        check_base(base_on(name), endpoint=hub)
