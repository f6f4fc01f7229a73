"""The first query on an index of a process that has nothing of it, against reading the index's bytes."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

from benchmarks.scale.machinery import Bench, seconds_of
from benchmarks.scale.parted import open_asked, rank
from benchmarks.scale.synthetic import draw_test, make_index
from influence.arrays import spans
from influence.contracts.index import Index
from influence.store.data.vault.index_values import VALUES
from workers.queries.scored.influence import Influence
from workers.runtime.state import Runtime

ROUNDS = 5
_READ_BYTES = 16 << 20
#: Of an index whose bytes take no time: what is left of its first query is what any takes.
_FEW_ROWS = 1000
Line = dict[str, Any]
Files = dict[str, Any]
Step = Callable[[Runtime, Index], None]


def measure_cold(bench: Bench, rows: int) -> list[Line]:
    """Medians in turns of bytes and answers: where the data directory has the index, where Redis has it and the files
    are in an object store, and where that alone has it."""
    here, elsewhere = Files(), {"files_url": f"file://{bench.folder}-bucket"}
    folder, bucket = ([make_index(bench.runtime(**files), n) for n in (rows, _FEW_ROWS)] for files in (here, elsewhere))
    _answer(bench, folder[0], here)  # the kernel's trial is once a process
    return [
        {"index in": "the data directory", **_measure(bench, folder, here, _read_file, _do_nothing)},
        {"index in": "Redis", **_measure(bench, bucket, elsewhere, _get_all, _put_all)},
        {"index in": "an object store", **_measure(bench, bucket, elsewhere, _read_object, _drop)},
    ]


def _measure(bench: Bench, indexes: Sequence[Index], files: Files, read: Step, begin: Step) -> Line:
    """Of two indexes: the large one, and one of a few rows."""
    asks, seen = bench.runtime(**files), list[tuple[float, float, float, float]]()
    index, few = indexes
    for _ in range(ROUNDS):
        begin(asks, index)
        bare = seconds_of(partial(read, asks, index))
        load = _answer(bench, index, files, only_load=True)
        for one in indexes:
            begin(asks, one)
        seen.append((bare, load, _answer(bench, index, files), _answer(bench, few, files)))
    bare, load, answer, fixed = (median(one) for one in zip(*seen, strict=True))
    return {
        "bytes (s)": bare,
        "loading (s)": load,
        "first query (s)": answer,
        f"of {_FEW_ROWS} rows (s)": fixed,
        "of the bytes": median(found[2] / found[0] for found in seen),
    }


def _answer(bench: Bench, index: Index, files: Files, *, only_load: bool = False) -> float:
    """Seconds that a process takes that was just started: its own caches, connections and pages."""
    made = bench.runtime(**files)

    def answer() -> None:
        hot = open_asked(made, index)
        if not only_load:
            rank(Influence(hot.row_indexes, hot.scorer("datainf", None)(draw_test(1))))

    seconds = seconds_of(answer)
    made.store.index_data.published.returns.wait()  # or they take the next one's time
    return seconds


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


def _read_object(asks: Runtime, index: Index) -> None:
    assert asks.store.files is not None
    table = asks.store.files.indexes.table(index.build)
    assert table is not None
    for start, stop in spans(table.values[-1].stop, _READ_BYTES):
        asks.store.files.indexes.folders.read(index.build, VALUES, start, stop)


def _do_nothing(asks: Runtime, index: Index) -> None:
    """The data directory keeps what it has."""


def _put_all(asks: Runtime, index: Index) -> None:
    assert asks.store.files is not None
    for name in _row_keys(asks, index):
        asks.store.connections.state.set(name, asks.store.files.indexes.page(index.build, name)[name])


def _drop(asks: Runtime, index: Index) -> None:
    """Let Redis lose the rows; basis and moments it has alone here."""
    names = _row_keys(asks, index)
    for start in range(0, len(names), 1000):
        asks.store.connections.state.unlink(*names[start : start + 1000])
