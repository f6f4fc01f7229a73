"""`datainf serve` as a process of its own: real embedded server, small real children in place of API and worker."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.commands.serve import (
    ServeOptions,
    child_environment,
    choose_port,
    make_posts,
    refuse_open_door,
    service_url,
    worker_environment,
)
from influence.errors import InvalidRequest, ResourceInUse

#: Answers /health/ready as the API does; the worker counts once it has made its mark.
API = """
import json, os
from pathlib import Path
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        workers = int((Path(os.environ["DATAINF_DATA_DIR"]) / "worker").exists())
        self.wfile.write(json.dumps({"workers": workers, "redis": os.environ["DATAINF_REDIS_URL"]}).encode())
    def log_message(self, *_):
        pass
HTTPServer((os.environ["DATAINF_HOST"], int(os.environ["DATAINF_PORT"])), Handler).serve_forever()
"""
WORKER = """
import os, pathlib, time
print('worker is here')
(pathlib.Path(os.environ["DATAINF_DATA_DIR"]) / "worker").touch()
time.sleep(600)
"""
DEAF_WORKER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + WORKER
SLOW_WORKER = "import time; time.sleep(600)"
MAIN = """
import signal, sys
from pathlib import Path
import typer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from cli.printing.output import Output
from cli.commands.serve import ServeOptions, serve
def main():
    folder, port, worker, api = sys.argv[1:]
    run = sys.executable, "-c"
    options = ServeOptions("127.0.0.1", int(port), Path(folder), 1, (*run, api), (*run, worker), 0.0)
    with Output().reporting():
        raise typer.Exit(serve(options))
try:
    main()
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


class Running:
    """A started service; `read_until` reads its terminal."""

    def __init__(self, folder: Path, *, worker: str = WORKER, port: int = 0) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, str(folder), str(port), worker, API],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.seen = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        while (match := re.search(pattern, self.seen)) is None:
            line = self.process.stdout.readline()
            assert line, f"the service ended: {self.seen}"
            self.seen += line
        return match

    def finish(self) -> int:
        assert self.process.stdout is not None
        self.seen += self.process.stdout.read()
        return self.process.wait(300)

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


Start = Callable[..., Running]
ProcessesOf = Callable[[Path], list[int]]


@pytest.fixture
def start(tmp_path: Path, wait_until: Callable[..., None], processes_of: ProcessesOf) -> Iterator[Start]:
    started: list[Running] = []

    def begin(**options: object) -> Running:
        started.append(Running(tmp_path / "data", **options))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for running in started:
        running.close()
    wait_until(lambda: not processes_of(tmp_path), "no process is left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(
    start: Start, tmp_path: Path, processes_of: ProcessesOf, number: signal.Signals
) -> None:
    running = start()
    url = running.read_until(r"Ready: (http://127\.0\.0\.1:\d+)")[1]
    running.read_until("worker  \\| worker is here")
    assert httpx.get(f"{url}/health/ready").json()["redis"].startswith("unix://")
    assert len(processes_of(tmp_path)) == 4
    running.process.send_signal(number)
    assert running.finish() == 0
    assert "Stopped." in running.seen
    assert processes_of(tmp_path) == []


def test_a_second_signal_kills_at_once(start: Start, tmp_path: Path, processes_of: ProcessesOf) -> None:
    running = start(worker=DEAF_WORKER)
    running.read_until("Ready:")
    running.process.send_signal(signal.SIGINT)
    running.read_until("Stopping")
    running.process.send_signal(signal.SIGINT)
    assert running.finish() == 130
    assert processes_of(tmp_path) == []


def test_no_orphan_is_left_when_the_service_is_killed(
    start: Start, tmp_path: Path, processes_of: ProcessesOf, wait_until: Callable[..., None]
) -> None:
    running = start()
    running.read_until("Ready:")
    running.process.kill()
    running.finish()
    wait_until(lambda: not processes_of(tmp_path), "server, API and worker are gone")
    successor = start()
    successor.read_until("Ready:")


def test_a_killed_part_comes_back(start: Start, tmp_path: Path, processes_of: ProcessesOf) -> None:
    running = start()
    running.read_until("Ready:")
    servers = [pid for pid in processes_of(tmp_path) if b"unixsocket" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(servers[0], signal.SIGKILL)
    running.read_until("redis was killed.*starting it again")
    running.process.terminate()
    assert running.finish() == 0


def test_a_worker_that_still_loads_is_told(start: Start) -> None:
    running = start(worker=SLOW_WORKER)
    running.read_until(r"The API answers at http://\S+; the worker is still loading")
    running.process.terminate()
    assert running.finish() == 0
    assert "Ready:" not in running.seen


def test_two_services_do_not_share_a_data_directory(start: Start) -> None:
    first = start()
    first.read_until("Ready:")
    second = start()
    assert second.finish() == 1
    assert re.search(rf"in\s+use\s+by\s+process\s+{first.process.pid}", second.seen)


def test_a_port_in_use_is_named_before_anything_starts(start: Start, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        running = start(port=port)
        assert running.finish() == 1
    assert f"Port {port} on 127.0.0.1 is in use" in running.seen
    assert not (tmp_path / "data" / "redis").exists()


def test_the_service_goes_on_when_nobody_reads_its_terminal(start: Start) -> None:
    running = start()
    url = running.read_until(r"Ready: (\S+)")[1]
    assert running.process.stdout is not None
    running.process.stdout.close()
    assert httpx.get(f"{url}/health/ready").status_code == 200
    running.process.terminate()
    assert running.process.wait(300) == 0


def test_words_that_nobody_reads_do_not_end_in_another_status() -> None:
    words = "import sys; from cli.printing.terminal import Terminal; t = Terminal(sys.stdout); input(); t.tell(str())"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", words], env=buffered, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(b"now\n")
        process.stdin.close()
        assert process.wait(300) == 0


def test_port_zero_finds_a_free_port_and_a_taken_one_is_refused() -> None:
    port = choose_port("127.0.0.1", 0)
    with closing(socket.create_server(("127.0.0.1", port))), pytest.raises(ResourceInUse, match=f"Port {port}"):
        choose_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot listen"):
        choose_port("192.0.2.1", 0)


def test_an_address_that_others_reach_needs_a_key() -> None:
    refuse_open_door("127.0.0.1", {})
    refuse_open_door("0.0.0.0", {"DATAINF_API_KEYS": '["0123456789abcdef"]'})
    for keys in ({}, {"DATAINF_API_KEYS": ""}, {"DATAINF_API_KEYS": "[]"}):
        with pytest.raises(InvalidRequest, match="without asking for a key"):
            refuse_open_door("0.0.0.0", keys)
    refuse_open_door("::1", {})
    with pytest.raises(InvalidRequest, match="without asking for a key"):
        refuse_open_door("example.org", {})


def test_the_url_is_one_that_this_machine_reaches() -> None:
    assert service_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert service_url("::", 1) == "http://[::1]:1"
    assert service_url("10.0.0.5", 1) == "http://10.0.0.5:1"


def test_workers_keep_their_names_and_share_the_cores() -> None:
    told = [worker_environment({}, Path("/data"), number, 2) for number in (0, 1)]
    assert told[0] == worker_environment({}, Path("/data"), 0, 2)
    assert told[0]["DATAINF_WORKER_NAME"] != told[1]["DATAINF_WORKER_NAME"]
    assert told[0]["DATAINF_WORKER_NAME"] != worker_environment({}, Path("/other"), 0, 2)["DATAINF_WORKER_NAME"]
    assert int(told[0]["DATAINF_CPU_THREADS"]) >= 1
    assert "DATAINF_CPU_THREADS" not in worker_environment({}, Path("/data"), 0, 1)


def test_a_given_server_is_left_as_it_is() -> None:
    told = child_environment({"DATAINF_REDIS_URL": "redis://elsewhere/0"}, None, "127.0.0.1", 1, Path("/data"))
    assert told["DATAINF_REDIS_URL"] == "redis://elsewhere/0"
    assert told["PYTHONSAFEPATH"] == "1"


def test_only_workers_may_keep_dying() -> None:
    options = ServeOptions("127.0.0.1", 1, Path("/data"), 2)
    posts = make_posts(options, {}, Path("/data"), lambda *_: None, None)
    assert {post.child.name: post.is_vital for post in posts} == {"api": True, "worker-0": False, "worker-1": False}
