"""Bounds on what callers may ask for at once."""

from dataclasses import dataclass, field
from typing import Self

from influence.errors import TooManyRequests

RETRY_SECONDS = 5


@dataclass
class Places:
    """`count` places for `what`, taken for the time of a `with` block, on one event loop.

    Entering raises TooManyRequests where all are taken.
    """

    count: int
    what: str
    taken: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        if self.taken >= self.count:
            raise TooManyRequests(
                f"This process serves {self.count} {self.what} already, as many as it is allowed to.",
                extra={"retry_after_seconds": RETRY_SECONDS},
            )
        self.taken += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.taken -= 1
