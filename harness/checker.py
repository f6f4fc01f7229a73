"""Counts the rows of an index anew, from what lies in Redis, and reads its scores to hold them against others.

Nothing here asks the product how many rows there are: keys are found by their names, values are unpacked, rows counted.
"""

import re
from collections import Counter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.house import House
from influence.store.data.chunks import DamagedChunk, unpack
from influence.store.store import Store

_KEPT = re.compile(r"datainf:\{(?P<build>[^}]+)\.(?P<shard>\d+)\}:kept:0")


def count_rows(store: Store, index_id: str, rows: int) -> list[str]:
    """What is wrong with the rows of an index: lost, double, strange, of another build, or not whole."""
    state = store.connections.state
    kept: dict[tuple[str, int], NDArray[np.generic]] = {}
    for name in state.scan_iter(match=f"datainf:{{{index_id}*"):
        if found := _KEPT.fullmatch(name.decode()):
            try:
                kept[found["build"], int(found["shard"])] = unpack([cast("bytes | None", state.get(name))])
            except DamagedChunk as error:
                return [f"{name!r} is damaged: {error}"]
    builds = {build for build, _ in kept}
    counts = Counter(int(row) for values in kept.values() for row in values)
    wrong = [f"row {row} is there {counts[row]} times" for row in range(rows) if counts[row] != 1]
    strange = [f"row {row} does not exist" for row in counts if not 0 <= row < rows]
    return [*wrong[:5], *strange[:5], *([f"{len(builds)} builds are kept"] if len(builds) != 1 else [])]


def read_scores(house: House, index_id: str) -> list[list[float]]:
    """Influence of every row on two fixed test points, from what the index keeps alone: whether 'exact: auto' has the
    time for more depends on how busy the machine is."""
    examples = [{"text": "late parcel", "label": 0}, {"text": "wrong bill", "label": 1}]
    body = {"examples": examples, "exact": False}
    asked = house.call("POST", f"/v1/indexes/{index_id}/queries", json=body).json()
    job = house.wait(asked["job_id"])
    if job["state"] != "succeeded":
        return []
    found = house.call("GET", f"/v1/queries/{asked['id']}/scores").json()
    return [list(map(float, scores)) for scores in found["influence"]]


def tell_difference(scores: list[list[float]], true_scores: list[list[float]]) -> str:
    """How scores (test points, rows) differ from those of an undisturbed build; nothing where they are the same."""
    if scores == true_scores:
        return ""
    found, truth = np.asarray(scores), np.asarray(true_scores)
    if found.shape != truth.shape:
        return f"are of shape {found.shape}, not {truth.shape}"
    off = np.abs(found - truth)
    return (
        f"are not those of an undisturbed build: {int((off > 0).sum())} of {off.size} differ, by up to "
        f"{float(off.max() / np.abs(truth).max()):.1e} of the largest"
    )
