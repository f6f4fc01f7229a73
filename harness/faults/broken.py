"""A worker process, whole or broken on purpose: what the harness is for is to tell them apart.

`python -m harness.faults.broken VARIANT --name NAME`; an empty variant is the worker as it is.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.faults import dying
from influence.store.data.indexes import IndexData
from workers.building import shard as building
from workers.process import worker


def lose_a_row() -> None:
    """Shards forget their first row."""
    collect = building.collect_shard

    def lossy(*given: Any, **named: Any) -> Any:
        row_ids, rows = collect(*given, **named)
        rows.keep[0] = False
        return row_ids, rows

    building.collect_shard = lossy


def write_after_the_end() -> None:
    """Row state is written under the name of another row."""
    write = IndexData.write_rows

    def shifted(self: IndexData, build: str, shard: int, part: str, array: Any) -> tuple[int, int]:
        return write(self, build, shard, part, array + np.int64(1) if part == "kept" else array)

    IndexData.write_rows = shifted  # type: ignore[method-assign]


VARIANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "lose-a-row": lose_a_row,
    "shift-rows": write_after_the_end,
}

if __name__ == "__main__":
    variant = sys.argv.pop(1)
    if variant.startswith(dying.VARIANT):
        dying.install(Path(variant.removeprefix(dying.VARIANT)))
    else:
        VARIANTS[variant]()
    worker.main()
