"""Class attribution: do test rows point at the training rows of their own class?

The experiment of the DataInf paper's tables on text generation (Kwon et al. 2024, section 4.3), with the loss on the
completion, where training puts it, and beside it on the prompt, where the published code takes it. And its experiment
on images (section 4.4): by the loss that a diffusion model is trained on, and beside it by the square of what it makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import ClassAttributionRequest, MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report
from influence.errors import InvalidRequest, RowsUnfit
from influence.evaluating.selection import hold_out, spread_over_classes
from workers.evaluating.base import Watch
from workers.evaluating.kinds.attribution_report import make_report
from workers.evaluating.kinds.attribution_scopes import Scope, encode_scopes, judge_baselines
from workers.evaluating.kinds.attribution_scores import judge, score_rows
from workers.evaluating.models.causal_model import FreshModel, make_fresh_model
from workers.evaluating.models.small_lm import SmallModel
from workers.rows import EncodedRow, Row
from workers.runtime.open import open_rows
from workers.runtime.state import Runtime
from workers.training.loop import count_steps, measure_losses, train

DEFAULT_METHODS = tuple(MethodChoice(method=name) for name in ("datainf", "hessian_free", "cosine", "exact", "joint"))
#: Which rows are held out and asked does not depend on a training's seed: seeds then differ by training alone.
_SPLIT_SEED = 0


@dataclass(frozen=True)
class ClassAttribution:
    """One piece a seed: a model is trained, and every method scores all training rows on every test row."""

    size: SmallModel = field(default_factory=SmallModel)

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises RowsUnfit where no test row is of a class trained on, InvalidRequest for fewer rows than classes."""
        request = _request_of(evaluation)
        _choose_rows(runtime, request, request.seeds[0])
        return [{"seed": seed} for seed in request.seeds]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """Train and score under one seed."""
        request, seed = _request_of(evaluation), int(piece["seed"])
        train_rows, test_rows = _choose_rows(runtime, request, seed)
        recipe, subject = request.recipe.model_copy(update={"seed": seed}), evaluation.subject
        makes_base = subject.base_model is None
        before_it = count_steps(len(train_rows), self.size.recipe(seed)) if makes_base else 0
        work = _Work(watch, before_it + _cost(request, len(train_rows), len(test_rows)))
        fresh = make_fresh_model(runtime, request, subject, train_rows, size=self.size, seed=seed, watch=work.step)
        # Before the training: a row that cannot be asked is named without an hour's delay.
        scopes = encode_scopes(fresh.task, train_rows, test_rows)
        trained_on, asked = next(iter(scopes.values())).rows
        before = _mean_loss(runtime, fresh, asked)
        trained = train(
            fresh.model,
            fresh.task,
            trained_on,
            recipe,
            device=runtime.device,
            lock=runtime.device_lock,
            watch=work.step,
        )
        classes = _classes(train_rows), _classes(test_rows)
        return {
            "seed": seed,
            "train_rows": len(train_rows),
            "train_classes": _counts(train_rows),
            "test_rows": [str(row["id"]) for row in test_rows],
            "test_classes": _classes(test_rows),
            "prompts_naming_class": _share_naming_class(test_rows),
            "base_loss": fresh.base_loss,
            "train_loss": trained,
            "test_loss_before": before,
            "test_loss": _mean_loss(runtime, fresh, asked),
            "scopes": _judge_scopes(runtime, request, fresh.model, scopes, classes, work),
            "baselines": judge_baselines(runtime, fresh.model, fresh.task, (trained_on, asked), classes),
        }

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """Tables, pictures and reading."""
        request = _request_of(evaluation)
        return make_report(_titles(request), results, request.reduction)


class _Work:
    """Progress of a piece over its stages: `step` is the watch of a training, `rows` hears of rows with gradients."""

    def __init__(self, watch: Watch, total: int) -> None:
        self._watch = watch
        self._total = total
        self._done = 0.0

    def step(self, _done: int, _steps: int) -> None:
        self._advance(1.0)

    def rows(self, count: int, batch_rows: int) -> None:
        self._advance(count / batch_rows)

    def _advance(self, units: float) -> None:
        self._done = min(self._done + units, self._total)
        self._watch(int(self._done), self._total)


def _cost(request: ClassAttributionRequest, train_rows: int, test_rows: int) -> int:
    """Steps of the fine-tuning, and gradients under both losses, which cost as much a row as a step does."""
    passes = 2 * len({choice.gradients for choice in request.methods or DEFAULT_METHODS})
    return count_steps(train_rows, request.recipe) + passes * -(-(train_rows + test_rows) // request.recipe.batch_rows)


def _judge_scopes(
    runtime: Runtime,
    request: ClassAttributionRequest,
    model: torch.nn.Module,
    scopes: Mapping[str, Scope],
    classes: tuple[list[str], list[str]],
    work: _Work,
) -> Json:
    choices = request.methods or DEFAULT_METHODS

    def report(count: int) -> None:
        work.rows(count, request.recipe.batch_rows)

    found: Json = {}
    for name, scope in scopes.items():
        scores = score_rows(
            runtime, model, scope.task, scope.rows, choices, report, batch_rows=request.recipe.batch_rows
        )
        found[name] = {title: judge(values, *classes) for title, values in scores.items()}
    return found


def _choose_rows(runtime: Runtime, request: ClassAttributionRequest, seed: int) -> tuple[list[Row], list[Row]]:
    """Training rows, drawn by the seed, and the test rows, which are the same for every seed."""
    rows = _read(runtime, str(request.dataset_id))
    if request.evaluation_dataset_id is None:
        kept, held = hold_out(_classes(rows), seed=_SPLIT_SEED)
        train_rows, test_rows = _take(rows, kept), _take(rows, held)
    else:
        train_rows, test_rows = rows, _read(runtime, request.evaluation_dataset_id)
    known = set(_classes(train_rows))
    test_rows = [row for row in test_rows if row["class"] in known]
    if not test_rows:
        raise RowsUnfit("No test row is of a class that is left to train on.", hint="Send more rows of each class.")
    wanted = request.rows or len(train_rows)
    if wanted < len(known):
        raise InvalidRequest(
            f"{wanted} training rows cannot hold {len(known)} classes.", hint=f"Ask for at least {len(known)} 'rows'."
        )
    asked = _take(test_rows, spread_over_classes(_classes(test_rows), request.test_points, seed=_SPLIT_SEED))
    return _take(train_rows, spread_over_classes(_classes(train_rows), wanted, seed=seed)), asked


def _read(runtime: Runtime, dataset_id: str) -> list[Row]:
    with open_rows(runtime, dataset_id) as file:
        return list(file.read())


def _take(rows: Sequence[Row], places: NDArray[np.int64]) -> list[Row]:
    return [rows[place] for place in places]


def _classes(rows: Sequence[Row]) -> list[str]:
    return [str(row["class"]) for row in rows]


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    names, counts = np.unique(_classes(rows), return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _share_naming_class(rows: Sequence[Row]) -> float:
    """Share of rows whose prompt, or caption, holds the name of their class."""
    texts = [str(row.get("prompt", row.get("text"))).lower() for row in rows]
    return sum(str(row["class"]).lower() in text for row, text in zip(rows, texts, strict=True)) / len(rows)


def _mean_loss(runtime: Runtime, fresh: FreshModel, encoded: Sequence[EncodedRow]) -> float:
    losses = measure_losses(fresh.model, fresh.task, encoded, device=runtime.device, lock=runtime.device_lock)
    return float(losses.mean())


def _titles(request: ClassAttributionRequest) -> list[str]:
    return [choice.title for choice in request.methods or DEFAULT_METHODS]


def _request_of(evaluation: Evaluation) -> ClassAttributionRequest:
    request: Any = evaluation.request
    assert isinstance(request, ClassAttributionRequest)
    return request
