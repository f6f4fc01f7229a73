"""What a build has before it: its phases, and how long each should take by what is known so far."""

import time
from collections.abc import Sequence

from influence.contracts.index import Index, IndexSpec
from influence.methods.codes.fidelity import MEASURED_ROWS
from workers.runtime.state import Runtime

LOADING, TOKENISING, SUBTRACTING = "loading", "tokenising", "subtracting rows"
SAMPLING, FITTING, GRADIENTS, FINISHING = "sampling", "fitting basis", "gradients", "finishing"

#: Arithmetic of a Gram matrix a second, seconds for the eigenvectors of one of 1,024 rows, and seconds to measure a
#: block by its Gram matrix of `MEASURED_ROWS` rows: of two cores, of a GPU.
_GRAM_PER_SECOND = {"cpu": 1.5e11, "cuda": 5e12}
_EIGEN_SECONDS = {"cpu": 0.14, "cuda": 0.1}
_MEASURE_SECONDS = {"cpu": 0.24, "cuda": 0.1}
#: So many Gram matrices more go into measuring a block.
_MEASURE_GRAMS = 4
_FINISH_SECONDS = 0.5
#: Before anything is known: a model from a disk, rows of text tokenised a second, and the batches of the probe.
_LOADING_SECONDS, _TOKENISED_PER_SECOND, _PROBE_SECONDS = 2.0, 10_000.0, 0.9
#: What takes longer is done beside other work.
_LONG_SECONDS = 2.0


class Outlook:
    """Tells the job what to expect, and learns as the plan goes on: from a probe, then from the sample itself."""

    def __init__(self, runtime: Runtime, index: Index) -> None:
        self._jobs = runtime.store.jobs
        self._job_id = index.job_id
        self._rows = index.rows
        self._kind = "cuda" if runtime.device.type == "cuda" else "cpu"
        self._seconds: dict[str, float | None] = dict.fromkeys(phases_of(index.spec))
        self.sample_seconds = 0.0
        self._expect(**{FINISHING: _FINISH_SECONDS})

    def learn_earlier(self, earlier: Index, *, sampled: int, reused: int) -> None:
        """Another index of the same checkpoint says how fast it was built; the probe knows better.

        `sampled` rows are computed before the others, and about `reused` rows are those of the index that is grown.
        """
        rate = earlier.rows_per_second
        if not rate:
            return
        tokenising = self._rows / _TOKENISED_PER_SECOND + _PROBE_SECONDS
        self._expect(**{LOADING: _LOADING_SECONDS, TOKENISING: tokenising})
        parameters = [block.parameters for block in earlier.blocks]
        self.learn_probe(1 / rate, parameters, rows=self._rows, sampled=sampled)
        if reused:
            self.learn_growth(1 / rate, added=max(self._rows - reused, 0), removed=0)

    @property
    def takes_long_before_shards(self) -> bool:
        """Whether sample and basis, or rows that left, keep others waiting for longer than a message should."""
        return sum(self._seconds.get(phase) or 0.0 for phase in (SAMPLING, FITTING, SUBTRACTING)) > _LONG_SECONDS

    def learn_probe(self, seconds_per_row: float, parameters: Sequence[int], *, rows: int, sampled: int) -> None:
        """A batch was timed; `sampled` of the `rows` are computed before the others, whose blocks have `parameters`."""
        self._rows = rows
        self._expect(
            **{
                SAMPLING: sampled * seconds_per_row,
                FITTING: self._fitting_seconds(sampled, parameters),
                GRADIENTS: (rows - sampled) * seconds_per_row,
            }
        )

    def learn_growth(self, seconds_per_row: float, *, added: int, removed: int) -> None:
        """Of a grown index only rows that came or went are computed."""
        self._expect(**{SUBTRACTING: removed * seconds_per_row, GRADIENTS: added * seconds_per_row})

    def learn_sample(self, begun: float, sampled: int) -> None:
        """`sampled` rows took since `begun`, a moment of `time.monotonic`: the others should take alike."""
        self.sample_seconds = time.monotonic() - begun
        self._expect(**{GRADIENTS: (self._rows - sampled) * self.sample_seconds / max(sampled, 1)})

    def _fitting_seconds(self, rows: int, parameters: Sequence[int]) -> float:
        """A Gram matrix and its eigenvectors per block, then what measures how well codes rank, of some of the rows."""
        measured = min(rows, MEASURED_ROWS)
        grams = rows**2 + _MEASURE_GRAMS * measured**2
        gram = 2.0 * grams * sum(parameters) / _GRAM_PER_SECOND[self._kind]
        eigen = _EIGEN_SECONDS[self._kind] * (rows / 1024) ** 3
        measure = _MEASURE_SECONDS[self._kind] * measured / MEASURED_ROWS
        return gram + len(parameters) * (eigen + measure)

    def _expect(self, **seconds: float) -> None:
        self._seconds |= {phase: known for phase, known in seconds.items() if phase in self._seconds}
        self._jobs.expect(self._job_id, self._seconds)


def phases_of(spec: IndexSpec) -> tuple[str, ...]:
    """The phases of a build, in their order."""
    if spec.grow_from is not None:
        between: tuple[str, ...] = (SUBTRACTING,)
    elif spec.storage == "compact":
        between = (SAMPLING, FITTING)
    else:
        between = ()
    return (LOADING, TOKENISING, *between, GRADIENTS, FINISHING)
