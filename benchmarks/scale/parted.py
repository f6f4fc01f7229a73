"""An index that two workers share out: answers against a bare pass over the same bytes, and who comes and goes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.scale.machinery import Bench, Settings, seconds_of
from benchmarks.scale.synthetic import ROW_BYTES, draw_test, make_index
from influence.compact.partitions import cut_rows
from influence.contracts.index import Index
from influence.digests import new_id
from influence.ranking.order import scores_of
from influence.ranking.statistics import histogram, percentiles, readable_scales, summarise
from workers.indexes.open import open_hot
from workers.indexes.partitions.partitioned import PartitionedIndex
from workers.queries.scored.influence import Scored
from workers.queries.scored.parted import PartedInfluence
from workers.runtime.state import Runtime

WORKERS = 2
ROUNDS = 7
_PASS_PIECES = 64
#: Bytes that the bare pass reads, far more than caches hold: what it takes for as many as the index has is counted up,
#: for memory has no room for them twice.
_PASS_BYTES = 2 << 30
_K = 10
#: Parts that each worker has room for beyond its share: a killed worker leaves its own to the others.
_ROOM_PARTS = 1

Line = dict[str, Any]


def measure_parted(bench: Bench, rows: int) -> list[Line]:
    """Seconds of the first and later answers, of a bare pass, and of one part more; then a third worker, and a kill."""
    asks = bench.runtime(memory_budget_bytes=rows * 16)
    index = make_index(asks, rows)
    settings = {"memory_budget_bytes": _room_for_share(asks, index)}
    names = bench.start_workers(asks, WORKERS, settings)
    hot, test = _open(asks, index), draw_test(1)
    score = hot.scorer("datainf", None)
    first = seconds_of(lambda: score(test))
    expected = score(test)
    words = np.zeros(min(rows * ROW_BYTES, _PASS_BYTES) // 8, np.int64)
    words[:] = 3  # or the kernel gives the same page of zeros everywhere
    times = rows * ROW_BYTES / words.nbytes
    taken: dict[str, list[float]] = {"pass": [], "scores": [], "answer": [], "empty": []}
    for number in range(ROUNDS):
        test = draw_test(1, seed=number)  # parts keep the scores of a question that comes again
        taken["pass"].append(times * seconds_of(lambda: _read_once(words)))
        taken["scores"].append(seconds_of(partial(score, test)))
        taken["answer"].append(seconds_of(partial(_answer_by_parts, hot, test)))
        taken["empty"].append(seconds_of(lambda: _ask_nothing(hot)))
    found = {name: median(seconds) for name, seconds in taken.items()}
    parts = len(hot.fan_out.parts)
    lines: list[Line] = [
        {"what": "rows", "value": rows},
        {"what": "parts of 256 MiB", "value": parts},
        {"what": "first answer, parts read from the files (s)", "value": first},
        {"what": "bare pass over all bytes of the codes, two threads (s)", "value": found["pass"]},
        {"what": "an answer: first rows, percentiles, histogram and summary (s)", "value": found["answer"]},
        {"what": "of the bare pass", "value": found["answer"] / found["pass"]},
        {"what": "all scores to the one who asks (s)", "value": found["scores"]},
        {"what": "of the bare pass ", "value": found["scores"] / found["pass"]},
        {"what": "a pass that computes next to nothing (ms)", "value": 1000 * found["empty"]},
        {"what": "of it for each part (ms)", "value": 1000 * found["empty"] / parts},
    ]
    return [*lines, *_change_workers(bench, asks, index, names, settings, expected)]


def _room_for_share(asks: Runtime, index: Index) -> int:
    """Memory for a worker's parts: whole ones, for one that does not fit is read anew by every pass."""
    row_bytes, part_bytes = index.row_bytes or 0.0, asks.settings.partition_bytes
    share = -(-len(cut_rows(index.rows, row_bytes, part_bytes)) // WORKERS)
    return int((share + _ROOM_PARTS) * part_bytes)


def _change_workers(
    bench: Bench, asks: Runtime, index: Index, names: list[str], settings: Settings, expected: NDArray[np.float32]
) -> list[Line]:
    hot, test = _open(asks, index), draw_test(1)
    score, parts = hot.scorer("datainf", None), len(hot.fan_out.parts)
    before = asks.store.scans.holders(index.build, parts)
    (third,) = bench.start_workers(asks, 1, settings)
    joined = seconds_of(lambda: score(test))
    after = asks.store.scans.holders(index.build, parts)
    moved = [part for part in range(parts) if before[part] != after[part]]
    elsewhere = [part for part in moved if after[part] != third]
    killer = threading.Timer(0.05, bench.kill_worker, [names[0]])
    killer.start()
    scores: list[NDArray[np.float32]] = []
    killed = seconds_of(lambda: scores.append(score(test)))
    killer.join()
    return [
        {"what": "parts that a third worker took", "value": len(moved)},
        {"what": "parts that moved between the two", "value": len(elsewhere)},
        {"what": "first answer of three (s)", "value": joined},
        {"what": "answer during which a worker was killed for good (s)", "value": killed},
        {"what": "of it the same to the bit", "value": bool(np.array_equal(scores[0], expected))},
    ]


def compare_parts(bench: Bench, rows: int) -> list[Line]:
    """Whether 1, 2 and 7 parts give the scores of an index that one process holds."""
    whole = bench.runtime()
    index = make_index(whole, rows)
    test = draw_test(3)
    expected = {
        method: open_asked(whole, index).scorer(method, None)(test) for method in ("datainf", "cosine", "joint")
    }
    lines = []
    for parts in (1, 2, 7):
        size = int(-(-rows // parts) * (index.row_bytes or 0)) + 1
        asks = bench.runtime(memory_budget_bytes=1 << 20, partition_bytes=size)
        hot = _open(asks, index)
        same = {name: bool(np.array_equal(hot.scorer(name, None)(test), found)) for name, found in expected.items()}
        lines.append(
            {"parts": len(hot.fan_out.parts), **{f"{name}, the same to the bit": ok for name, ok in same.items()}}
        )
    return lines


def _open(asks: Runtime, index: Index) -> PartitionedIndex:
    hot = open_asked(asks, index)
    if not isinstance(hot, PartitionedIndex):
        raise TypeError("the index fits one worker")
    return hot


def open_asked(asks: Runtime, index: Index) -> Any:
    job_id = new_id("job")
    asks.store.jobs.create(job_id, "query", index.id, "/v1/queries/qry_a")
    asks.store.jobs.start(job_id)
    return open_hot(asks, index, job_id)


def _read_once(words: NDArray[np.int64]) -> int:
    with np.errstate(over="ignore"), ThreadPoolExecutor(WORKERS) as pool:
        return sum(int(found) for found in pool.map(np.bitwise_xor.reduce, np.array_split(words, _PASS_PIECES)))


def rank(influence: Scored) -> None:
    """What people read of one test point's influence."""
    (ranking,) = influence.rank(_K, "both")
    shown = np.union1d(ranking.helpful, ranking.harmful)
    (scores,) = influence.describe([shown])
    own = scores_of(influence.at(0, shown))
    percentiles(scores, own)
    readable_scales(scores, own)
    histogram(scores)
    summarise(scores)


def _answer_by_parts(hot: PartitionedIndex, test: dict[str, Tensor]) -> None:
    """As a query is answered: each part ranks its own rows."""
    rank(PartedInfluence(hot, "datainf", None, hot.query_vectors("datainf", None, test), _K))


def _ask_nothing(hot: PartitionedIndex) -> None:
    """A row of each part on itself: what is left is asking and answering."""
    about = {"method": "datainf", "damping_scale": None, "rows": lambda _part: (0, 1)}
    hot.fan_out.ask(hot.job_id, "self_influence", np.zeros(1, np.float32), lambda _part, _found: None, about=about)
