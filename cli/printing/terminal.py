"""The terminal of `datainf serve`: its own sentences and its children's lines, one at a time."""

import os
import threading
from contextlib import suppress
from typing import TextIO

_NAME_WIDTH = 8


class Terminal:
    """Prints whole lines from any thread; a reader that left (`| head`) does not stop the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def tell(self, text: str) -> None:
        """Print the service's own words."""
        self.forward("datainf", text)

    def forward(self, name: str, line: str) -> None:
        """Print a child's line behind its name."""
        self.announce(f"{name:<{_NAME_WIDTH}}| {line}")

    def announce(self, text: str) -> None:
        """Print a block of text as it stands."""
        with self._lock:
            try:
                print(
                    text.encode(self._stream.encoding or "utf-8", "replace").decode(self._stream.encoding or "utf-8"),
                    file=self._stream,
                    flush=True,
                )
            except (OSError, ValueError):
                gone, self._stream = self._stream, open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
                _let_go(gone, self._stream)


def _let_go(stream: TextIO, nothing: TextIO) -> None:
    """Point the descriptor of a stream that nobody reads at nothing.

    What it could not write stays in its buffer, and Python would end with status 120 over it.
    """
    with suppress(OSError, ValueError):
        os.dup2(nothing.fileno(), stream.fileno())
