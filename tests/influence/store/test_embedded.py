"""The embedded server as the product starts it: real processes, real files."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from influence.errors import ResourceInUse, StoreUnavailable
from influence.process.lockfile import lock_file
from influence.store.connections import connect
from influence.store.embedded import EmbeddedServer

#: A parent that starts a server, says where it is, and waits to be killed.
PARENT = """
import sys, time
from pathlib import Path
from influence.store.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def write(server: EmbeddedServer, key: str, value: str) -> None:
    with closing(connect(server.url)) as connections:
        connections.state.set(key, value)


def read(server: EmbeddedServer, key: str) -> object:
    with closing(connect(server.url)) as connections:
        return connections.state.get(key)


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "redis")
    server.start()
    write(server, "row", "kept")
    server.stop()
    server.start()
    assert read(server, "row") == b"kept"
    server.stop()


@pytest.mark.parametrize("name", ["x" * 150, "a folder, é?#%41&'\"", "ü" * 60])
def test_a_folder_of_any_name_will_do(tmp_path: Path, name: str) -> None:
    server = EmbeddedServer(tmp_path / name)
    server.start()
    write(server, "row", "kept")
    assert read(server, "row") == b"kept"
    socket = Path(server._socket)
    server.stop()
    assert not socket.exists()


def test_a_relative_folder_outlives_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    server = EmbeddedServer(Path("redis"))
    server.start()
    monkeypatch.chdir("/")
    write(server, "row", "kept")
    server.stop()
    assert (tmp_path / "redis" / "redis.log").exists()


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first, second = EmbeddedServer(tmp_path), EmbeddedServer(tmp_path, lock_seconds=0.0)
    first.start()
    with pytest.raises(ResourceInUse) as caught:
        second.start()
    assert caught.value.extra == {"process_id": os.getpid()}
    write(first, "row", "unharmed")
    assert read(first, "row") == b"unharmed"
    first.stop()
    second.start()
    assert read(second, "row") == b"unharmed"
    second.stop()


def test_a_server_that_died_is_started_again_under_the_same_url(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("x" * 150))
    server.start()
    url = server.url
    server.process.kill()
    server.process.wait()
    server.start()
    assert server.url == url
    write(server, "row", "kept")
    server.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("not a folder")
    server = EmbeddedServer(tmp_path)
    with pytest.raises(StoreUnavailable, match="did not start: "):
        server.start()
    os.close(lock_file(tmp_path / "server.lock"))
    with pytest.raises(StoreUnavailable):
        _ = server.process


@pytest.mark.skipif(sys.platform != "linux", reason="a parent-death signal is a thing of Linux")
def test_no_server_outlives_a_killed_parent(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "the server ended with its parent")
    successor = EmbeddedServer(tmp_path)
    successor.start()
    successor.stop()


def test_a_lock_is_free_once_every_holder_closed_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = lock_file(path)
    copy = os.dup(descriptor)
    os.close(descriptor)
    with pytest.raises(ResourceInUse, match=f"process {os.getpid()}"):
        lock_file(path)
    os.close(copy)
    os.close(lock_file(path))
