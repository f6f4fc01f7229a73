"""What is downloaded appears whole, and where it was asked for: through links, into pipes and devices."""

import os
import threading
from pathlib import Path

import pytest

from datainf_client import Client, ServiceError

ROWS = [{"text": f"ticket {number}", "label": "ab"[number % 2]} for number in range(4)]


@pytest.fixture
def path(client: Client) -> str:
    return f"/v1/datasets/{client.datasets.create(ROWS).id}/export"


def test_a_link_stays_and_what_it_leads_to_is_written(client: Client, path: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("before")
    (tmp_path / "link").symlink_to("rows.jsonl")
    client.http.download(path, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == len(ROWS)
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["link", "rows.jsonl"]


def test_a_pipe_is_written_into(client: Client, path: str, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    client.http.download(path, pipe)
    reader.join()
    assert pipe.is_fifo()
    assert len(read[0].splitlines()) == len(ROWS)


def test_a_file_beside_it_is_nobody_elses_and_a_full_device_is_told(client: Client, path: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.part").write_text("mine")
    client.http.download(path, tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl.part").read_text() == "mine"
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(ServiceError, match="No space left"):
        client.http.download(path, tmp_path / "full")
    assert Path("/dev/full").is_char_device()
