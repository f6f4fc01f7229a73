"""How often an idle process looks for what it waits for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Pauses between looks: at the query queue (the queue's default would add half a second to a query), at the build
    queue, and at whether the process is to end while announcements are listened to.
    """

    query_poll_ms: int = 20
    build_poll_ms: int = 200
    hear_seconds: float = 0.5
