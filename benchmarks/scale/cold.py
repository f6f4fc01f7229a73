"""The first query on an index of a process that has nothing of it, against reading the index's bytes."""

from statistics import median
from typing import Any

from benchmarks.scale.machinery import Bench, seconds_of
from benchmarks.scale.parted import open_asked, rank
from benchmarks.scale.synthetic import draw_test, make_index
from influence.contracts.index import Index
from influence.store import keys
from influence.store.data.vault.index_values import VALUES
from workers.runtime.state import Runtime

ROUNDS = 5
_READ_BYTES = 16 << 20
Line = dict[str, Any]


def measure_cold(bench: Bench, rows: int) -> list[Line]:
    """Medians in turns: bytes and answers, once where Redis has the index and once where only the files do."""
    asks = bench.runtime()
    index = make_index(asks, rows)
    _answer(bench, index)  # the kernel's trial is once a process
    return [
        {"index in": place, **_measure(bench, asks, index, in_redis=place == "Redis")} for place in ("Redis", "files")
    ]


def _measure(bench: Bench, asks: Runtime, index: Index, *, in_redis: bool) -> Line:
    seen: list[tuple[float, float, float]] = []
    for _ in range(ROUNDS):
        bare = seconds_of(lambda: _get_all(asks, index) if in_redis else _read_file(asks, index))
        if not in_redis:
            _drop(asks, index)
        load = seconds_of(lambda: _answer(bench, index, only_load=True))
        if not in_redis:
            _drop(asks, index)
        seen.append((bare, load, seconds_of(lambda: _answer(bench, index))))
    bare, load, answer = (median(one) for one in zip(*seen, strict=True))
    return {
        "bytes (s)": bare,
        "loading (s)": load,
        "first query (s)": answer,
        "of the bytes": median(last / first for first, _, last in seen),
    }


def _answer(bench: Bench, index: Index, *, only_load: bool = False) -> None:
    """Of a process that was just started: its own caches, connections and pages."""
    hot = open_asked(bench.runtime(), index)
    if not only_load:
        rank(hot.scorer("datainf", None)(draw_test(1))[0])


def _row_keys(asks: Runtime, index: Index) -> list[str]:
    assert asks.store.files is not None
    table = asks.store.files.indexes.table(index.build)
    assert table is not None
    return [value.key for value in table.values]


def _get_all(asks: Runtime, index: Index) -> None:
    for name in _row_keys(asks, index):
        if asks.store.connections.state.get(name) is None:
            raise LookupError(f"{name} is not in Redis")


def _read_file(asks: Runtime, index: Index) -> None:
    with (asks.settings.data_dir / "indexes" / index.build / VALUES).open("rb") as file:
        while file.read(_READ_BYTES):
            pass


def _drop(asks: Runtime, index: Index) -> None:
    """Let Redis lose the rows; basis and moments it has alone here."""
    names = _row_keys(asks, index)
    for start in range(0, len(names), 1000):
        asks.store.connections.state.unlink(*names[start : start + 1000])
    assert not asks.store.connections.state.exists(keys.row_state(index.build, 0, "values", 0))
