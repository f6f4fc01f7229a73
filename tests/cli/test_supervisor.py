"""The supervisor with small real children."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.processes.children import CommandChild
from cli.processes.supervisor import Post, Supervisor
from influence.errors import Unavailable
from influence.process.restarts import Lives, Patience

QUICK = Patience(short_life_seconds=300.0, first_wait_seconds=0.01, last_wait_seconds=0.02, max_short_lives=3)
#: Seconds to end in: no child here takes so long, however busy the machine.
PATIENT = 300.0
STAYS = "import time; print('up', flush=True); time.sleep(600)"
DIES = "import sys; print('no such thing', flush=True); sys.exit(7)"
DIES_ONCE = """
import pathlib, sys, time
mark = pathlib.Path(sys.argv[1])
if not mark.exists():
    mark.touch()
    sys.exit(1)
print('second life', flush=True)
time.sleep(600)
"""
NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], 'a').write(sys.argv[2] + ' ')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
while True:
    time.sleep(1)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
HAS_A_CHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]])
print('up', flush=True)
time.sleep(600)
"""


class Stage:
    """Collects what is said and heard, and stops the supervisor by a real signal."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard: list[tuple[str, str]] = []

    def child(self, name: str, script: str, *arguments: str) -> CommandChild:
        command = (sys.executable, "-c", script, *arguments)
        return CommandChild(name, command, dict(os.environ), lambda name, line: self.heard.append((name, line)))

    def run(self, *posts: Post, until: Callable[[], bool], enough: Callable[[], bool] = lambda: False) -> int:
        def stop() -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        def tell(sentence: str) -> None:
            self.told.append(sentence)
            if enough() and not sentence.startswith("Stopping"):
                stop()

        for post in posts:
            post.lives = Lives(QUICK)
        return Supervisor(posts, tell, until, stop).run()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_dead_child_is_started_again(stage: Stage, tmp_path: Path) -> None:
    post = Post(stage.child("api", DIES_ONCE, str(tmp_path / "mark")), PATIENT)
    stage.run(post, until=lambda: ("api", "second life") in stage.heard)
    assert any("api ended with exit code 1; starting it again" in sentence for sentence in stage.told)
    assert post.child.poll() == -signal.SIGTERM


def test_a_child_that_keeps_dying_ends_the_service_with_its_last_words(stage: Stage) -> None:
    healthy = stage.child("redis", STAYS)
    with pytest.raises(Unavailable, match=r"exit code 7 right after its start, 3 times in a row; .*no such thing"):
        stage.run(Post(healthy, PATIENT), Post(stage.child("api", DIES), PATIENT), until=lambda: False)
    assert healthy.poll() == -signal.SIGTERM


def test_a_worker_that_keeps_dying_ends_nothing_and_is_tried_again_with_its_cause(stage: Stage) -> None:
    api = stage.child("api", STAYS)
    worker = Post(stage.child("worker", DIES), PATIENT, is_vital=False)
    signals = stage.run(Post(api, PATIENT), worker, until=lambda: False, enough=lambda: worker.lives.short_lives >= 6)
    assert signals == 1
    assert api.poll() == -signal.SIGTERM
    named = [sentence for sentence in stage.told if "times in a row" in sentence]
    assert len(named) >= 3
    assert all("no such thing" in sentence and "goes on without it" in sentence for sentence in named)


def test_wrong_settings_are_not_tried_again(stage: Stage) -> None:
    with pytest.raises(Unavailable, match=r"exit code 2 right after its start; .*bad port"):
        stage.run(Post(stage.child("api", "import sys; print('bad port'); sys.exit(2)"), PATIENT), until=lambda: False)


def test_children_end_in_the_opposite_order_of_their_start(stage: Stage, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    names = ("redis", "api", "worker")
    posts = [Post(stage.child(name, NOTES_ITS_END, str(ends), name), PATIENT) for name in names]
    signals = stage.run(*posts, until=lambda: {name for name, _ in stage.heard} == set(names))
    assert signals == 1
    assert ends.read_text().split() == ["worker", "api", "redis"]


def test_a_child_that_does_not_listen_is_killed(stage: Stage) -> None:
    post = Post(stage.child("worker", DEAF), 0.1)
    stage.run(post, until=lambda: ("worker", "up") in stage.heard)
    assert post.child.poll() == -signal.SIGKILL
    assert any("worker does not end" in sentence for sentence in stage.told)


def test_children_of_a_killed_child_do_not_stay(
    stage: Stage, tmp_path: Path, processes_of: Callable[[Path], list[int]], wait_until: Callable[..., None]
) -> None:
    child = stage.child("worker", HAS_A_CHILD, str(tmp_path))
    child.start()
    wait_until(lambda: len(processes_of(tmp_path)) == 2, "child and grandchild run")
    assert child.process is not None
    child.process.kill()
    wait_until(lambda: child.poll() is not None and not processes_of(tmp_path), "all are gone")


def test_signal_handlers_are_put_back(stage: Stage) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stage.run(Post(stage.child("api", STAYS), PATIENT), until=lambda: True)
    assert signal.getsignal(signal.SIGTERM) is before


def test_control_characters_of_a_child_do_not_reach_the_terminal(stage: Stage) -> None:
    script = "import time; print('a\\x1b[2Jb\\u202ec', flush=True); time.sleep(600)"
    stage.run(Post(stage.child("api", script), PATIENT), until=lambda: bool(stage.heard))
    assert stage.heard == [("api", "a\\x1b[2Jb\\u202ec")]
