"""Whether more than a sum over early checkpoints pays: several trainings, unrolling, learnt weights, scalars per row.

    python -m benchmarks.combining --shared ../shared --sets sst2,banking10 --write docs/benchmarks/combining.md

Trains what is missing under --work (hours on two cores), then judges every way by the
linear datamodelling score against halves trained anew.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.combining.scores import METHODS, Floats, Scored, Truth, judge_learnt_weights
from benchmarks.combining.trainings import EARLY, Trainings
from benchmarks.combining.unrolled import Segments, find_durations
from benchmarks.tables import markdown

#: Epochs of the recipe, trainings of every half, full trainings.
SETS = {"sst2": (6, 2, 4), "banking10": (10, 1, 3), "sms_spam": (6, 1, 3)}
_SUBSETS = 24
_SCALES = (0.3, 1.0, 3.0)
_CLIPS = (1.0, 2.0, 4.0)
_TINY = 1e-9
_EARLY = " + ".join(map(str, EARLY))
_READING = Path(__file__).with_name("reading.md")
Line = dict[str, Any]


def main() -> None:
    """Train what is missing, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/")
    parser.add_argument("--sets", default=",".join(SETS), help="which of these data sets")
    parser.add_argument(
        "--work", type=Path, default=Path(".datainf/combining"), help="gradients and losses (4 GB a set)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sections = []
    for name in options.sets.split(","):
        epochs, repeats, runs = SETS[name]
        folder = options.work / f"{name}-0"
        trainings = Trainings(options.shared, name, 0, epochs, _SUBSETS, folder)
        trainings.make(runs, repeats)
        sections.append(f"## {name}\n\n{judge(trainings, runs, repeats)}")
        print(sections[-1], flush=True)
    if options.write is not None:
        options.write.write_text("\n\n".join([_READING.read_text(encoding="utf-8").strip(), *sections]) + "\n")


def judge(trainings: Trainings, runs: int, repeats: int) -> str:
    """The tables of one set."""
    truth = Truth(trainings.draw_halves(), trainings.read_losses(repeats))
    scored = Scored.of(trainings, runs)
    ceiling = truth.find_ceiling()
    said = (
        f"{_SUBSETS} halves, each trained {'once' if repeats == 1 else f'{repeats} times, and their mean taken'}."
        if ceiling is None or ceiling.mean is None
        else f"{_SUBSETS} halves, each trained {repeats} times, whose mean is predicted. Two trainings agree to "
        f"{ceiling.reliability:.2f}, so that no scores can be expected above {ceiling.mean:.2f}."
    )
    several = _several(truth, scored, trainings.epochs, runs)
    others = _others(trainings, truth, scored)
    return f"{said}\n\n{markdown(several)}\n\n{markdown(others)}"


def _several(truth: Truth, scored: Scored, last: int, runs: int) -> list[Line]:
    """Scores of one training, and summed over several from other seeds."""
    lines = []
    for method in METHODS:
        for count in range(1, runs + 1):
            own = range(count)
            summed = np.sum([scored.sum_early(run, method) for run in own], axis=0)
            lines.append(
                {
                    "method": method,
                    "trainings": count,
                    "after epoch 2": truth.judge(scored.add(own, 2, method)),
                    "after the last": truth.judge(scored.add(own, last, method)),
                    f"after epochs {_EARLY}": truth.judge(summed),
                }
            )
    return lines


def _others(trainings: Trainings, truth: Truth, scored: Scored) -> list[Line]:
    """Other ways with one training, beside the sum of `preconditioned` over the first epochs."""

    def line(what: str, influence: Floats) -> Line:
        return {"one training": what, "LDS": truth.judge(influence)}

    def scaled(scale: Callable[[Floats], Floats]) -> Floats:
        return scored.sum_early(0, METHODS[0], scale)

    segments = Segments.of(trainings, 0)
    learnt, fixed = judge_learnt_weights(truth, scored)
    return [
        line(f"`{METHODS[0]}` summed over epochs {_EARLY}, by learning rates", scaled(np.ones_like)),
        *(
            line(
                f"unrolled, segments that end after epochs {', '.join(map(str, ends))}; time x {scale:g}",
                segments.score(find_durations(scored.rates[0], ends, scale)),
            )
            for ends in (EARLY[:2], EARLY, trainings.kept)
            for scale in _SCALES
        ),
        *(line(f"the sum, gradients cut to length {clip:g}", scaled(partial(_cut, clip))) for clip in _CLIPS),
        line("the sum, gradients at unit length", scaled(lambda own: 1.0 / own.clip(_TINY))),
        {"one training": "weights learnt on other halves", "LDS": learnt},
        {"one training": "the sum, on the same halves as these", "LDS": fixed},
    ]


def _cut(longest: float, lengths: Floats) -> Floats:
    """What makes gradients of these lengths no longer."""
    return np.asarray(longest / lengths.clip(longest), np.float64)


if __name__ == "__main__":
    main()
