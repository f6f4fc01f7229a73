"""Work on the query queue that takes longer than a query may be kept waiting: done in time slices.

A message does the work for about a second, keeps what it has, and puts itself behind those who came meanwhile. What
is kept is the truth, so a slice that is lost or delivered twice costs time and nothing else.
"""

import time

#: A slice ends with the first piece of work that is done after so long.
SLICE_SECONDS = 1.0


def slice_deadline() -> float:
    """The moment (monotonic, in seconds) at which a slice that begins now should end."""
    return time.monotonic() + SLICE_SECONDS
