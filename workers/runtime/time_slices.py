"""Work on the query queue that takes longer than a query may be kept waiting: done in turns.

A message does the work for about a second, keeps what it has, and puts itself behind those who came meanwhile. What
is kept is the truth, so a turn that is lost or delivered twice costs time and nothing else.
"""

import time

#: A turn ends with the first piece of work that is done after so long.
TURN_SECONDS = 1.0


def end_of_turn() -> float:
    """The moment (monotonic) at which a turn that begins now should end."""
    return time.monotonic() + TURN_SECONDS
