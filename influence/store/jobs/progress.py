"""A job's progress as its hash keeps it: the phases of the whole job, the units done of the one it is in, since when.

Times expected of phases are whoever plans the work's best knowledge and may be written anew as it learns more; what
the phase in hand has done counts for more.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from influence.contracts.common import Json, now
from influence.contracts.work_record import FINAL_STATES, Progress

#: Shown with a job's progress while the server refuses writes.
FULL: Json = {
    "code": "store_full",
    "message": "Redis has no memory left; the work is paused and goes on by itself.",
    "hint": "Delete an index that is not needed, or raise the server's maxmemory.",
}
#: A pause that was not confirmed for so long is over, or its worker is.
PAUSE_SECONDS = 15.0
PAUSED = "paused_at"
OUTLINE = "outline"
#: When the phase in hand last moved, and when it began.
MOVED, BEGUN = "moved_at", "phase_started_at"
_MIN_SECONDS_FOR_RATE = 0.5
#: After so long in a phase its own speed counts as much as what was expected of it: its first seconds open and warm up.
_TRUST_SECONDS = 3.0
#: A phase that is near the time expected of it, or over it, is said to take this share of what it took.
_OVERDUE_SHARE = 0.25

Fields = Mapping[str, str]


def outline_field(seconds: Mapping[str, float | None]) -> str:
    """The phases of a job in their order, with the seconds that each should take, None where nobody knows yet."""
    return json.dumps(list(seconds.items()))


def phase_fields(
    phase: str, *, total: int, unit: str, shown_total: int | None, base: int, in_shards: bool
) -> dict[Any, Any]:
    """Fields of a phase that begins. `base` units were done before, by an earlier run; the rate does not count them."""
    return {
        "phase": phase,
        "total": str(total),
        "shown_total": str(total if shown_total is None else shown_total),
        "unit": unit,
        "done": "0",
        "base": str(base),
        "in_shards": str(int(in_shards)),
        BEGUN: now().isoformat(),
        MOVED: now().isoformat(),
    }


def without_absence(fields: Fields) -> dict[Any, Any]:
    """The phase in hand as if it had begun later by the time since it last moved, when nobody was there to work."""
    try:
        begun, moved = moment(fields.get(BEGUN)), moment(fields.get(MOVED))
    except ValueError:  # garbage: whoever reads the job says so
        return {}
    if begun is None or moved is None:
        return {}
    return {BEGUN: (begun + (now() - moved)).isoformat(), MOVED: now().isoformat()}


def sum_shards(fields: Fields) -> int:
    """Units done of all shards together."""
    return sum(int(value) for name, value in fields.items() if name.startswith("shard:"))


def progress_of(fields: Fields) -> Progress:
    """The progress that a job's fields tell. Raises ValueError, TypeError, KeyError for fields that cannot be read."""
    total, done = int(fields.get("total", 0)), _done(fields)
    shown = int(fields.get("shown_total", total))
    share = done / total if total else None
    speed = _speed(fields, done)
    return Progress(
        phase=fields.get("phase", fields["state"]),
        done=done if shown == total or share is None else int(share * shown),
        total=shown,
        unit=fields.get("unit", "rows"),
        share=None if share is None else round(share, 4),
        rate=None if speed is None else round(speed * shown / total if total else speed, 2),
        eta_seconds=None if fields["state"] in FINAL_STATES else _eta(fields, total - done, speed),
        phases=tuple(name for name, _ in _outline(fields)),
        note=FULL if _is_paused(fields) else None,
    )


def _done(fields: Fields) -> int:
    total, whole = int(fields.get("total", 0)), int(fields.get("done", 0))
    done = (sum_shards(fields) or whole) if fields.get("in_shards", "1") == "1" else whole
    return min(total, done) if total else done


def _speed(fields: Fields, done: int) -> float | None:
    """Units per second of the phase in hand, or of the last one."""
    begun = moment(fields.get(BEGUN))
    new = done - int(fields.get("base", 0))
    if begun is None or new <= 0:
        return None
    seconds = ((moment(fields.get("finished_at")) or now()) - begun).total_seconds()
    return None if seconds < _MIN_SECONDS_FOR_RATE else new / seconds


def _outline(fields: Fields) -> list[tuple[str, float | None]]:
    return [(str(name), seconds) for name, seconds in json.loads(fields.get(OUTLINE, "[]"))]


def _eta(fields: Fields, left: int, speed: float | None) -> float | None:
    """Seconds until the whole job is done; None while any part of it is unknown."""
    outline = _outline(fields)
    places = [place for place, (name, _) in enumerate(outline) if name == fields.get("phase")]
    later = [seconds for _, seconds in outline[places[0] + 1 :]] if places else []
    expected = outline[places[0]][1] if places else None
    parts = [_rest_of_phase(fields, left, speed, expected), *later]
    known = [seconds for seconds in parts if seconds is not None]
    return round(sum(known), 1) if len(known) == len(parts) else None


def _rest_of_phase(fields: Fields, left: int, speed: float | None, expected: float | None) -> float | None:
    begun = moment(fields.get(BEGUN))
    elapsed = None if begun is None else (now() - begun).total_seconds()
    planned = None if expected is None or elapsed is None else _planned(fields, expected, elapsed)
    if speed is None or planned is None or elapsed is None:
        return planned if speed is None else left / speed
    trust = elapsed / (elapsed + _TRUST_SECONDS)
    return trust * left / speed + (1 - trust) * planned


def _planned(fields: Fields, expected: float, elapsed: float) -> float:
    """By what was expected of the phase, less what an earlier run had done of it; overdue, it takes a while more."""
    total = int(fields.get("total", 0))
    share = 1 - int(fields.get("base", 0)) / total if total else 1.0
    return max(expected * share - elapsed, _OVERDUE_SHARE * elapsed)


def _is_paused(fields: Fields) -> bool:
    since = moment(fields.get(PAUSED))
    return since is not None and fields["state"] == "running" and (now() - since).total_seconds() < PAUSE_SECONDS


def moment(text: str | None) -> datetime | None:
    """A moment as it is kept."""
    return None if text is None else datetime.fromisoformat(text)
