"""How queries and loading grow with rows: against one plain pass over the same bytes, in the same run."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from influence.arrays import spans
from influence.compact.codes import Codes, bytes_per_row
from influence.compact.scan import scan_codes
from influence.contracts.index import ShardCommit
from influence.ranking.held import HeldScores
from influence.ranking.order import rank_rows
from influence.ranking.statistics import histogram, percentiles
from influence.store import keys
from influence.store.connections import connect
from influence.store.data.indexes import IndexData
from influence.store.embedded import EmbeddedServer
from workers.building.compact_rows import read_compact_rows
from workers.indexes.kernels import multiply_fastest

BLOCKS = 25
REPEATS = 7
#: About what one shard of 20 seconds holds on a GPU.
SHARD_ROWS = 20_000
_INDEX = "idx_benchmark"


@dataclass(frozen=True)
class ScaleLine:
    """Milliseconds (medians). `pass_ms` reads the codes' and scales' bytes once with as many threads; `ratio` is
    one test point's scan over it. `get_ms` is a bare GET of every key, by the product's own client.
    """

    rows: int
    width: int
    bytes_per_row: int
    threads: int
    pass_ms: float
    scan_1_ms: float
    scan_32_ms: float
    rank_ms: float
    ratio: float
    ns_per_row: float = 0.0
    get_ms: float | None = None
    load_ms: float | None = None
    load_ratio: float | None = None
    redis_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_scale(rows: int, width: int, *, threads: int, with_redis: bool) -> ScaleLine:
    """Synthetic codes of `width` int8 numbers and 25 blocks."""
    rng = np.random.default_rng(0)
    codes = _synthetic(rows, width)
    one, many = (rng.normal(size=(count, width)).astype(np.float32) for count in (1, 32))
    scores = scan_codes(codes, one, threads=threads)[0]
    times = _interleaved(
        {
            "pass": lambda: _read_once(codes, threads),
            "one": lambda: scan_codes(codes, one, threads=threads, multiply=multiply_fastest),
            "many": lambda: scan_codes(codes, many, threads=threads, multiply=multiply_fastest),
            "rank": lambda: _rank(scores),
        }
    )
    redis_figures = _measure_redis(codes) if with_redis else {}
    return ScaleLine(
        rows=rows,
        width=width,
        bytes_per_row=bytes_per_row(width, BLOCKS),
        threads=threads,
        pass_ms=times["pass"],
        scan_1_ms=times["one"],
        scan_32_ms=times["many"],
        rank_ms=times["rank"],
        ratio=times["one"] / times["pass"],
        ns_per_row=1e6 * times["one"] / rows,
        **redis_figures,
    )


def _synthetic(rows: int, width: int) -> Codes:
    piece = np.random.default_rng(1).integers(-127, 128, (min(rows, 100_000), width), dtype=np.int8)
    values = np.resize(piece, (rows, width))
    return Codes(values, np.full(rows, 0.01, np.float32), np.full((rows, BLOCKS), 30_000, np.uint16))


def _read_once(codes: Codes, threads: int) -> int:
    """Sum the codes as 64-bit words: nothing reads memory with less to do."""
    flat = codes.values.reshape(-1)
    words = flat[: len(flat) // 8 * 8].view(np.int64)
    pieces = [*np.array_split(words, 8 * threads), codes.scales[: len(codes) // 2 * 2].view(np.int64)]
    with np.errstate(over="ignore"), ThreadPoolExecutor(threads) as pool:
        return sum(int(total) for total in pool.map(np.bitwise_xor.reduce, pieces))


def _rank(scores: NDArray[np.float32]) -> None:
    ranking = rank_rows(scores, 10, "both")
    held = HeldScores.of(scores)
    percentiles(held, scores[ranking.helpful])
    histogram(held)


def _interleaved(actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each action, taken in turns so that a busy moment strikes all."""
    seen: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(REPEATS + 1):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            seen[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(times[1:]) for name, times in seen.items()}


def _measure_redis(codes: Codes) -> dict[str, Any]:
    with _server() as client:
        data = IndexData(client, client)
        commits, names = _write(data, codes)
        used = sum(int(client.memory_usage(name) or 0) for name in names)
        times = _interleaved(
            {
                "get": lambda: [None for name in names if client.get(name) is None],
                "load": lambda: read_compact_rows(data, _INDEX, commits, codes.values.shape[1], BLOCKS),
            }
        )
    return {
        "get_ms": times["get"],
        "load_ms": times["load"],
        "load_ratio": times["load"] / times["get"],
        "redis_bytes": used,
    }


class _server:
    """A fresh embedded server for one measurement."""

    def __enter__(self) -> redis.Redis:
        self._folder = TemporaryDirectory()
        self._server = EmbeddedServer(Path(self._folder.name))
        self._server.start()
        self._connections = connect(self._server.url)
        return self._connections.state

    def __exit__(self, *_: object) -> None:
        self._connections.close()
        self._server.stop()
        self._folder.cleanup()


def _write(data: IndexData, codes: Codes) -> tuple[list[ShardCommit], list[str]]:
    """An index's row state as a build leaves it; answers its commits and keys."""
    commits, names = [], []
    for shard, (start, stop) in enumerate(spans(len(codes), SHARD_ROWS)):
        rows = codes.take(slice(start, stop))
        parts: dict[str, NDArray[Any]] = {
            "kept": np.arange(start, stop),
            "losses": np.zeros(len(rows), np.float32),
            "values": rows.values,
            "scales": rows.scales,
            "norms": rows.norms,
        }
        for part, array in parts.items():
            pieces = data.write_rows(_INDEX, shard, part, array)[1]
            names += [keys.row_state(_INDEX, shard, part, piece) for piece in range(pieces)]
        commits.append(ShardCommit(shard=shard, rows=len(rows), bytes=rows.nbytes, seconds=0.0, chunks=len(parts)))
    return commits, names
