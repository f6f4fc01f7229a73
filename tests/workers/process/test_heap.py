"""Workers start with a heap that does not creep, unless somebody asked for another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.process.heap import steady_heap
from workers.process.launcher import Slot


def test_what_is_set_already_stays() -> None:
    environment = {"PATH": "/bin", "GLIBC_TUNABLES": "glibc.malloc.arena_max=4:glibc.cpu.x86_ibt=off"}
    made = steady_heap(environment)
    assert made["PATH"] == "/bin"
    tunables = made["GLIBC_TUNABLES"].split(":")
    assert tunables[:2] == ["glibc.malloc.arena_max=4", "glibc.cpu.x86_ibt=off"]
    assert "glibc.malloc.tcache_count=0" in tunables
    assert "glibc.malloc.arena_max=1" not in tunables
    assert steady_heap(made) == made


def test_a_worker_process_is_started_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "told"
    original = subprocess.Popen
    command = [sys.executable, "-c", f"import os; open({str(told)!r}, 'w').write(os.environ['GLIBC_TUNABLES'])"]
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **options: original(command, **options))
    slot = Slot(0, "host-0")
    slot.supervise()
    assert slot.process is not None
    slot.process.wait(300)
    assert told.read_text() == steady_heap(os.environ)["GLIBC_TUNABLES"]
