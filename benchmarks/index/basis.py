"""What shorter numbers of the basis cost: fidelity of every method from codes, and bytes.

python -m benchmarks.index.basis --shared ../shared    # ten minutes; prints a table
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from benchmarks.index.causal import causal_work
from benchmarks.index.gradients import Work, collect, reference_work, trained_work
from benchmarks.tables import markdown
from influence.compact.encoder import VectorDtype, fit_encoder
from influence.compact.packing import pack_encoder
from influence.contracts.index import DEFAULT_RANK
from influence.methods.codes.fidelity import Fidelity, measure_fidelity

SAMPLE_ROWS = 1024
HELD_OUT_ROWS = 160
#: Rows that scores are compared over, those held out among them: solves take time with their cube.
MEASURED_ROWS = 480
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

Line = dict[str, str | int | float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and reference/")
    parser.add_argument("--epochs", type=int, default=3, help="of the adapters trained here")
    options = parser.parse_args()
    lines = []
    for prepare in _works(options):
        for line in _measure(prepare()):
            print(line, flush=True)
            lines.append(line)
    print(markdown(lines))


def _works(options: argparse.Namespace) -> Iterator[Callable[[], Work]]:
    data, sizes = options.shared / "data", {"rows": SAMPLE_ROWS + HELD_OUT_ROWS, "tests": 1}
    yield partial(reference_work, options.shared, **sizes)
    yield partial(trained_work, data / "banking10", epochs=options.epochs, **sizes)
    yield partial(causal_work, data / "sentence_transformations", epochs=options.epochs, **sizes)


def _measure(work: Work) -> Iterator[Line]:
    gradients = [torch.from_numpy(block) for block in collect(work).train]
    order = np.random.default_rng(0).permutation(len(gradients[0]))
    gradients = [block[order] for block in gradients]
    fitted = len(order) - HELD_OUT_ROWS
    measured = [block[-MEASURED_ROWS:] for block in gradients]
    held_out = np.arange(MEASURED_ROWS - HELD_OUT_ROWS, MEASURED_ROWS)
    for vectors in get_args(VectorDtype):
        encoder = fit_encoder([block[:fitted] for block in gradients], rank=DEFAULT_RANK, vectors=vectors)
        fidelity = measure_fidelity(encoder, measured, held_out)
        arrays = pack_encoder(encoder)
        basis = _BYTES[vectors] * arrays["vectors"].size
        rest = sum(array.nbytes for name, array in arrays.items() if name != "vectors")
        yield {"data": work.name, "vectors": vectors, "basis_mb": basis / 1e6, "encoder_mb": (basis + rest) / 1e6} | (
            _figures(fidelity)
        )


def _figures(fidelity: Fidelity) -> Line:
    found: Line = {"worst": fidelity.spearman_worst, "found": fidelity.found, "residual": fidelity.residual}
    return {
        **{f"spearman {name}": value for name, value in fidelity.methods.items()},
        **found,
        **{f"error {name}": error.worst for name, error in fidelity.reranked.items()},
    }


if __name__ == "__main__":
    main()
