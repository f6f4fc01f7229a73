"""Ranges of an index's rows, and which worker keeps which of them hot."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from influence.arrays import spans
from influence.compact.coded_rows import MOMENT_ROWS


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of an index, by position."""

    number: int
    start: int
    stop: int


def cut_rows(rows: int, row_bytes: float, part_bytes: int) -> tuple[Part, ...]:
    """Parts of about `part_bytes`, each but the last of equally many rows.

    Large ones begin at multiples of `MOMENT_ROWS`: whatever goes over rows in steps then takes the same steps, and
    finds the same to the bit, however many parts there are.
    """
    step = max(1, int(part_bytes / max(row_bytes, 1.0)))
    if step > MOMENT_ROWS:
        step -= step % MOMENT_ROWS
    return tuple(Part(number, start, stop) for number, (start, stop) in enumerate(spans(rows, step)))


def assign_parts(key: str, parts: int, workers: Iterable[str], kept: Mapping[int, str] | None = None) -> dict[int, str]:
    """Who takes which part: each worker as many as the others, but for one.

    What a worker has `kept` so far stays with it as long as it lives and has no more than its share. So a worker that
    comes takes its share and moves nothing else, and the parts of one that is gone are shared out. What has no worker
    goes to the one with the highest hash of index, part and worker among those with room (rendezvous hashing), which
    everybody finds alike.
    """
    found = sorted(set(workers))
    current = {part: name for part, name in (kept or {}).items() if name in found and 0 <= part < parts}
    loads = Counter(current.values())
    room = _shares(parts, sorted(found, key=lambda name: (-loads[name], name)))
    chosen: dict[int, str] = {}
    for name in found:
        own = [part for part, holder in current.items() if holder == name]
        own.sort(key=lambda part: (_weight(key, part, name), part), reverse=True)
        chosen |= dict.fromkeys(own[: room[name]], name)
        room[name] -= min(room[name], len(own))
    for part in (part for part in range(parts) if part not in chosen):
        name = max((name for name in found if room[name]), key=lambda name: _weight(key, part, name))
        chosen[part], room[name] = name, room[name] - 1
    return chosen


def _shares(parts: int, workers: Sequence[str]) -> dict[str, int]:
    """How many parts each may have; those that stand first have one more where it does not come out even."""
    least, more = divmod(parts, max(len(workers), 1))
    return {name: least + (place < more) for place, name in enumerate(workers)}


def _weight(key: str, part: int, worker: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{key} {part} {worker}".encode(), digest_size=8).digest())
