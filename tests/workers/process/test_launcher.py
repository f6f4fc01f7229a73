"""The launcher keeps processes running and leaves none behind."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from workers.process.launcher import Launcher, Slot, count_processes


def test_visible_devices_decide_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,3")
    assert count_processes("auto") == 3
    assert count_processes("cpu") == 1


def test_models_that_are_spread_over_gpus_have_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,3")
    assert count_processes("auto", "balanced") == 1


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots start an ordinary process that sleeps instead of loading torch."""
    original = subprocess.Popen
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **options: original(command, **options))


@pytest.mark.usefixtures("sleeper")
def test_a_killed_process_is_started_again(wait_until: Callable[..., None]) -> None:
    slot = Slot(0, "host-0")
    slot.supervise()
    assert slot.process is not None
    first = slot.process
    first.kill()
    first.wait()

    def replaced() -> bool:
        slot.supervise()
        return slot.process is not None and slot.process.pid != first.pid

    wait_until(replaced, "a new process runs")
    assert slot.process is not None
    slot.process.kill()
    slot.process.wait()


@pytest.mark.usefixtures("sleeper")
def test_stopping_ends_every_process(wait_until: Callable[..., None]) -> None:
    made = Launcher(2, "host")
    thread = threading.Thread(target=made.run)
    thread.start()
    made.stopping.set()
    thread.join(300)
    assert not thread.is_alive()


def test_settings_that_are_wrong_are_named_in_one_line() -> None:
    environment = {**os.environ, "DATAINF_CPU_THREADS": "many"}
    command = [sys.executable, "-m", "workers"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.splitlines()[0].partition(": ")[2][:20]) == (2, "DATAINF_CPU_THREADS:")
    assert "Traceback" not in found.stderr
