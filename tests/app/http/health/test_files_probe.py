"""Readiness says that the object store does not answer, and does not wait for it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes.apart import run_apart

from app.http.health.probe import Probe
from influence.store.connections import PATIENT
from influence.store.data.files import Files
from influence.store.data.vault.object_store import ObjectVault
from influence.store.store import Store

HANG_SECONDS = 300.0
NOTE = "The object store of files does not answer: uploads and deletions are refused."


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where an S3 client is sent: it is let in and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield made


def look_twice(store: Store, files: Files, files_seconds: float = HANG_SECONDS) -> list[tuple[str, bool]]:
    """Status, and whether the note is there, however busy the machine."""
    connections = store.connections.again(PATIENT)
    probe = Probe(Store(connections), files, answer_seconds=HANG_SECONDS, files_seconds=files_seconds)
    found = [run_apart(probe.look()) for _ in range(2)]
    probe.close()
    return [(one["status"], NOTE in one["notes"]) for one in found]


def test_an_object_store_that_hangs_is_noted_and_asked_once(
    store: Store, tmp_path: Path, listener: socket.socket
) -> None:
    files = Files(tmp_path / "data", ObjectVault("s3://bucket/team"))
    assert look_twice(store, files, files_seconds=0.05) == [("ready", True)] * 2
    first, _ = listener.accept()
    listener.settimeout(0.0)
    with first, pytest.raises(BlockingIOError):
        listener.accept()


def test_an_object_store_that_answers_is_not_noted(store: Store, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    files = Files(tmp_path / "data", ObjectVault(f"file://{tmp_path / 'bucket'}"))
    assert look_twice(store, files) == [("ready", False)] * 2


def test_a_data_directory_is_asked_nothing(store: Store, tmp_path: Path) -> None:
    assert look_twice(store, Files(tmp_path / "data")) == [("ready", False)] * 2
