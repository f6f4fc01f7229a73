"""How often an idle process looks for what it waits for, and how long one that ends waits for its threads."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Pauses between looks: at the query queue (the queue's default would add half a second to a query), at the build
    queue, at messages that wait to be tried again, at whether the process is to end while announcements are listened
    to, and at what webhooks are to be told.
    `idle_seconds` is that of a thread without work, which a message wakes anyway: it looks whether the process ends.
    `stop_ms` is the time for a micro-batch to end and its message to go back, when the process is asked to stop;
    `help_seconds` that for a thread beside the work to see that the process ends.
    """

    query_poll_ms: int = 20
    build_poll_ms: int = 200
    delayed_poll_ms: int = 250
    idle_seconds: float = 0.25
    hear_seconds: float = 0.5
    tell_seconds: float = 1.0
    stop_ms: int = 5_000
    help_seconds: float = 2.0
