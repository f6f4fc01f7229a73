"""Hub data sets, from a hub of our own on this machine that speaks the two calls the client makes."""

import hashlib
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants

from app.intake.datasets import accept_hub_dataset
from app.intake.hub_dataset import files_of_split
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError, InvalidRequest, NotFound, TooLarge, Unavailable

COMMIT = "c" * 40
LINES = [b'{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n', b'{"text": "c", "label": 1}\n']


class Hub(BaseHTTPRequestHandler):
    """Serves `owner/films` at `main` and answers as the real hub does elsewhere."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {
        "README.md": b"words",
        "films.py": b"raise SystemExit",
        "data/train-00000-of-00002.jsonl": LINES[0],
        "data/train-00001-of-00002.jsonl": LINES[1],
        "data/test.jsonl": LINES[1],
    }

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in ("/api/datasets/owner/films", "/api/datasets/owner/films/revision/main"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            self._answer(200, json.dumps({"id": "owner/films", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith("/api/datasets/owner/films/"):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/datasets/broken/"):
            self._answer(500, b"{}")
        elif (name := path.removeprefix(f"/datasets/owner/films/resolve/{COMMIT}/")) in self.files:
            self._answer(
                200, self.files[name], {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(name.encode()).hexdigest()}"'}
            )
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of the hub; the client believes itself on the network for as long as it runs."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def accept(
    hub: str, root: Path, hub_id: str = "owner/films", limits: TableLimits | None = None, **options: Any
) -> Dataset:
    return accept_hub_dataset(hub_id, endpoint=hub, limits=limits or TableLimits(), destination_root=root, **options)


def test_a_split_on_the_hub_becomes_a_data_set(hub: str, tmp_path: Path) -> None:
    train = accept(hub, tmp_path)
    assert (train.name, train.rows, train.kind) == ("owner/films", 3, "classification")
    assert accept(hub, tmp_path, split="test", revision="main").rows == 1
    assert sorted(folder.name[:3] for folder in tmp_path.iterdir()) == ["ds_", "ds_"]


@pytest.mark.parametrize(
    ("hub_id", "options", "error"),
    [
        ("owner/absent", {}, NotFound),
        ("owner/films", {"revision": "absent"}, NotFound),
        ("owner/films", {"split": "absent"}, NotFound),
        ("broken/films", {}, Unavailable),
        ("no hub id", {}, InvalidRequest),
        ("../../etc", {}, InvalidRequest),
    ],
)
def test_what_the_hub_does_not_have_is_said_so(
    hub: str, tmp_path: Path, hub_id: str, options: dict[str, Any], error: type[DatainfError]
) -> None:
    with pytest.raises(error) as caught:
        accept(hub, tmp_path, hub_id, **options)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_split_that_is_too_large_is_not_downloaded(hub: str, tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        accept(hub, tmp_path, limits=TableLimits(max_bytes=60))


def test_a_hub_out_of_reach_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        with pytest.raises(Unavailable):
            accept(address, tmp_path)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(Unavailable, match="runs offline"):
            accept(address, tmp_path)


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["data/train-0.parquet", "data/test-0.parquet", "train.csv"], None, ["data/train-0.parquet"]),
        (
            ["b/train-0.parquet", "a/train-1.parquet", "a/train-0.parquet"],
            "a/train",
            ["a/train-0.parquet", "a/train-1.parquet"],
        ),
        (
            ["default/train/0001.parquet", "default/train/0000.parquet"],
            "train",
            ["default/train/0000.parquet", "default/train/0001.parquet"],
        ),
        (["dataset_infos.json", "films_train.jsonl", "train.py"], None, ["films_train.jsonl"]),
        (["plain_text/validation-0.parquet"], "validation", ["plain_text/validation-0.parquet"]),
    ],
)
def test_the_files_of_a_split_go_by_their_names(names: list[str], split: str | None, found: list[str]) -> None:
    assert files_of_split(names, split) == found


def test_a_split_of_several_configurations_must_be_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        files_of_split(["en/train.parquet", "de/train.parquet"], "train")
    assert caught.value.extra["splits"] == ["de/train", "en/train"]
    with pytest.raises(NotFound):
        files_of_split(["en/train.parquet"], "fr/train")
