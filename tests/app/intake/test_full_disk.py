"""A disk without room is said with 507, wherever an upload meets it; nothing half-made stays."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient
from support.api import running_api
from support.problems import assert_problem
from support.tiny import make_classifier

from app.intake.hub_errors import translate_hub_errors
from influence.errors import DiskFull, Unavailable
from influence.store.data.files import Files
from influence.store.store import Store

WaitUntil = Callable[..., None]
#: No file may be larger in these tests.
ROOM_BYTES = 200_000
LABELS = ("yes", "no")


def rows(count: int) -> bytes:
    return b"text,label\n" + b"".join(b"%d,%s\n" % (number, LABELS[number % 2].encode()) for number in range(count))


def test_uploads_that_find_no_room_are_told_so_and_leave_nothing(
    store: Store, tmp_path: Path, wait_until: WaitUntil
) -> None:
    base = make_classifier(tmp_path).base
    large, growing = rows(40_000), rows(10_000)
    assert len(growing) < ROOM_BYTES < len(large)
    with running_api(
        tmp_path,
        wait_until,
        max_file_bytes=ROOM_BYTES,
        redis_url=store.connections.state_url,
        base_model_aliases=f'{{"tiny": "{base}"}}',
    ) as api:

        def send(path: str, field: str, content: bytes, **fields: str) -> httpx.Response:
            return httpx.post(f"{api.url}/v1/{path}", files={field: ("file.csv", content)}, data=fields, timeout=300)

        # The second fits as it is sent, and no longer once its rows are written with ids.
        for answer in (
            send("datasets", "file", large),
            send("datasets", "file", growing),
            send("checkpoints", "adapter", large, base_model="tiny"),
        ):
            assert "data directory" in assert_problem(answer, 507, "disk_full")["hint"]
        assert send("datasets", "file", rows(10)).status_code == 201
    data = tmp_path / "data"
    assert list((data / "tmp").iterdir()) == []
    assert len(list((data / "datasets").iterdir())) == 1


def test_a_download_that_finds_no_room_is_told_so() -> None:
    def download(number: int) -> None:
        with translate_hub_errors("a/b", None, kind="data set", example="a/b", instead="upload the file"):
            raise OSError(number, os.strerror(number))

    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with pytest.raises(DiskFull):
            download(number)
    with pytest.raises(Unavailable) as caught:
        download(errno.ECONNRESET)
    assert caught.value.code == "unavailable"


def test_what_a_killed_process_left_is_removed_at_the_next_start(
    files: Files, make_client: Callable[..., TestClient], dataset_id: str
) -> None:
    old = time.time() - 24 * 3600
    names = ("incoming-1", ".incoming-1.2", "download-3")
    left = [files.root / "tmp" / "a", *(files.datasets / name for name in names)]
    at_work, kept = files.root / "tmp" / "b", files.dataset(dataset_id)
    for folder in (*left, at_work):
        folder.mkdir()
        (folder / "upload").write_bytes(b"half")
        if folder in left:
            os.utime(folder / "upload", (old, old))
        os.utime(folder, (old, old))
    os.utime(kept, (old, old))
    make_client()
    assert not any(folder.exists() for folder in left)
    assert (at_work / "upload").exists()
    assert kept.exists()
