"""Do scores point at training pictures of a test picture's own class? With the figures of the paper's experiment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.images.glyphs import Glyph
from influence.evaluating.agreement import auc

Scores = NDArray[np.float64]
#: What classes are told apart by.
CLASSES: Mapping[str, Callable[[Glyph], str]] = {
    "style": lambda glyph: glyph.style,
    "subject": lambda glyph: glyph.subject,
}


@dataclass(frozen=True, slots=True)
class Found:
    """Means over test pictures: `auc` of the rows of its class against all others, by score or by its size; `recall`,
    how many of as many top rows as the class has are of the class; `chance`, the recall of a blind draw."""

    auc: float
    recall: float
    chance: float


def judge(scores: Scores, train: Sequence[Glyph], test: Sequence[Glyph], by: str) -> Found:
    """Scores (m, n) of n training pictures for m test pictures, higher is likelier the source."""
    of = CLASSES[by]
    classes = np.array([of(glyph) for glyph in train])
    aucs, recalls, chances = [], [], []
    for row, glyph in zip(scores, test, strict=True):
        own = classes == of(glyph)
        top = np.argsort(-row, kind="stable")[: int(own.sum())]
        aucs.append(auc(row, own))
        recalls.append(float(own[top].mean()))
        chances.append(float(own.mean()))
    return Found(float(np.mean(aucs)), float(np.mean(recalls)), float(np.mean(chances)))


def pixel_scores(train: Sequence[Glyph], test: Sequence[Glyph]) -> Scores:
    """Minus the squared distance of pixels (m, n): no model at all."""
    first, second = (
        np.stack([np.asarray(glyph.image, dtype=np.float64).ravel() for glyph in glyphs]) for glyphs in (test, train)
    )
    distances: Scores = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    return -distances
