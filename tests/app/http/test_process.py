"""The API as a process: what it loads, what it logs, how it refuses to start and how it ends."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from support.api import run_to_end, running_api

from app.__main__ import main
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

HEAVY = "('torch', 'transformers', 'peft', 'scipy', 'pyarrow', 'huggingface_hub', 'matplotlib')"
#: Makes the application as the process does, and says what that loaded.
MAKE = f"""
import sys
from app.main import app_from
from app.settings import ApiSettings
app_from(ApiSettings(data_dir=sys.argv[1]))
print([name for name in {HEAVY} if name in sys.modules])
"""
WaitUntil = Callable[..., None]


def test_nothing_that_only_workers_need_is_loaded_at_start(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_requests_are_logged_with_the_caller_s_id(store: Store, tmp_path: Path, wait_until: WaitUntil) -> None:
    with running_api(tmp_path, wait_until, redis_url=store.connections.state_url) as api:
        request = urllib.request.Request(f"{api.url}/v1/jobs/job_0", headers={"X-Request-Id": "r-1"})
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request)
        wait_until(lambda: any(line.get("status") == 404 for line in api.lines()), "the request is logged")
        logged = next(line for line in api.lines() if line.get("status") == 404)
    assert (logged["request_id"], logged["method"], logged["path"]) == ("r-1", "GET", "/v1/jobs/job_0")
    assert logged["ms"] >= 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order_even_while_a_job_is_watched(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: WaitUntil, number: signal.Signals
) -> None:
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    with running_api(tmp_path, wait_until, redis_url=server.url) as api:
        with httpx.stream("GET", f"{api.url}/v1/jobs/job_1/events", timeout=300) as events:
            pieces = events.iter_text()
            assert next(pieces).startswith("event: progress")
            api.process.send_signal(number)
            assert list(pieces) == []
        assert api.process.wait(300) == 0
        events_logged = " ".join(line["event"] for line in api.lines())
    assert "exceeded" not in events_logged
    assert "Traceback" not in (tmp_path / "api.log").read_text()


def test_an_open_door_is_refused_in_one_line() -> None:
    found = run_to_end(host="0.0.0.0", api_keys="[]")
    assert found.returncode == 2
    assert "DATAINF_API_KEYS" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("keys", ["{}", '["{}"', '{{"{}": 1}}', "1"])
def test_keys_that_are_no_list_are_refused_in_one_line_without_showing_them(
    keys: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATAINF_API_KEYS", keys.format("a-secret-of-16-chars"))
    assert main() == 2
    told = capsys.readouterr().err
    assert told.startswith("datainf: DATAINF_API_KEYS: ")
    assert len(told.splitlines()) == 1
    assert "secret" not in told


def test_connections_over_the_limit_are_told_so(store: Store, tmp_path: Path, wait_until: WaitUntil) -> None:
    with (
        running_api(tmp_path, wait_until, redis_url=store.connections.state_url, max_connections="2") as api,
        ExitStack() as held,
    ):
        address = (urlsplit(api.url).hostname, urlsplit(api.url).port)
        for _ in range(2):
            held.enter_context(socket.create_connection(address))
        assert httpx.get(f"{api.url}/health/live").status_code == 503
        held.close()
        wait_until(lambda: httpx.get(f"{api.url}/health/live").status_code == 200, "there is room again")
