"""Keeps a set of children running until it is told to stop, then ends them in order."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from cli.processes.children import Child, wait_for_end
from influence.errors import DatainfError, Unavailable
from influence.process.restarts import Lives, describe_exit
from influence.settings import EXIT_SETTINGS

POLL_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Post:
    """A child and how its lives went. `stop_seconds` is how long it may take to end.

    The service ends with a child that `is_vital` and keeps dying; others are tried again for ever, ever more rarely.
    """

    child: Child
    stop_seconds: float
    is_vital: bool = True
    running: bool = False
    lives: Lives = field(default_factory=Lives)


@dataclass
class Supervisor:
    """`posts` in the order of starting; they are ended the other way round.

    `tell` prints a sentence. `is_ready` is asked until it is true, then `on_ready` is called once.
    The first signal asks for an orderly end, the second kills.
    """

    posts: Sequence[Post]
    tell: Callable[[str], None]
    is_ready: Callable[[], bool]
    on_ready: Callable[[], None]
    signals: int = 0
    _ready: bool = field(default=False, init=False)
    _starting: bool = field(default=False, init=False)

    def run(self) -> int:
        """Supervise from the main thread; answers how many signals came.

        Raises Unavailable when a vital child keeps dying, or one whose settings are wrong.

        Whatever happens, no child is left running.
        """
        with self._signals_counted():
            try:
                while not self.signals:
                    self._supervise()
                    time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                pass
            finally:
                self._stop()
        return self.signals

    @contextmanager
    def _signals_counted(self) -> Iterator[None]:
        def note(_signal: int, _frame: FrameType | None) -> None:
            # Only a count: a lock taken here could be one that the interrupted code holds.
            self.signals += 1
            if self.signals > 1 and self._starting:
                raise KeyboardInterrupt

        # What our caller ignores (nohup, a shell's background jobs) stays ignored.
        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _supervise(self) -> None:
        for post in self.posts:
            if self.signals:
                return
            code = post.child.poll() if post.running else None
            if code is not None:
                self._restart_later(post, code)
            if not post.running and post.lives.may_begin:
                self._start(post)
        if not self._ready and all(post.running for post in self.posts) and self.is_ready():
            self._ready = True
            self.on_ready()

    def _start(self, post: Post) -> None:
        post.lives.begin()
        self._starting = True
        try:
            post.child.start()
        except DatainfError as error:
            if not post.lives.ended:
                raise
            self.tell(f"{post.child.name} cannot be started: {error.detail}")
        finally:
            self._starting = False
        post.running = True

    def _restart_later(self, post: Post, code: int) -> None:
        post.running = False
        wait = post.lives.end()
        keeps_dying = post.lives.are_too_short
        if (keeps_dying and post.is_vital) or (post.lives.short_lives and code == EXIT_SETTINGS):
            raise Unavailable(
                f"{_obituary(post, code)}.",
                hint="Fix what the log above names, then start the service again.",
                extra={"exit_code": code},
            )
        said = _obituary(post, code) if keeps_dying else f"{post.child.name} {describe_exit(code)}"
        others = " The rest of the service goes on without it." if keeps_dying else ""
        self.tell(f"{said}; starting it again{f' in {wait:.1f} s' if wait else ''}.{others}")

    def _stop(self) -> None:
        if self.signals == 1:
            self.tell("Stopping; once more (Ctrl-C) ends everything at once.")
        for post in reversed(self.posts):
            child = post.child
            child.ask_to_stop()
            if post.running and not wait_for_end(child, post.stop_seconds, lambda: self.signals > 1):
                if self.signals <= 1:
                    self.tell(f"{child.name} does not end within {post.stop_seconds:.0f} s; killing it.")
                child.kill()


def _obituary(post: Post, code: int) -> str:
    """How a child that keeps dying died, and what it said last."""
    lines = post.child.last_lines()
    often = f", {post.lives.short_lives} times in a row" if post.lives.short_lives > 1 else ""
    said = "; its last lines: " + " | ".join(lines[-5:]) if lines else ""
    return f"{post.child.name} {describe_exit(code)} right after its start{often}{said}"
