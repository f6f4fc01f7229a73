"""A job's progress as one line that is written over, on a terminal or below a notebook's cell."""

import sys
from types import TracebackType
from typing import TextIO

from datainf_client.generated.models import Job
from datainf_client.watching.words import describe_phase, describe_progress, share_done

_CELLS = 24


class ProgressLine:
    """Writes to `stream`; leaves nothing behind when the block ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, job: Job) -> None:
        """Draw the job as it stands."""
        full = round((share_done(job) or 0.0) * _CELLS)
        bar = "█" * full + "░" * (_CELLS - full)
        self._write(f"{describe_phase(job)} {bar} {describe_progress(job)}")

    def _write(self, line: str) -> None:
        if line or self._width:
            self._stream.write(f"\r{line:<{self._width}}" + ("" if line else "\r"))
            self._stream.flush()
            self._width = len(line)


def is_watched(stream: TextIO) -> bool:
    """Whether somebody looks at what is written over: a terminal, or a notebook."""
    return stream.isatty() or "ipykernel" in sys.modules
