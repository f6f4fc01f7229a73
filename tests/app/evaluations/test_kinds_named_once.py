"""A kind of evaluation stands in three files: its request, its two verbs, the registry. Others go by its rules."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, get_args

import pytest

from influence.contracts.evaluation.experiment import EXPERIMENTS, EvaluationKind, Experiment

ROOT = Path(__file__).parents[3]
AT_HOME = ("influence/contracts/evaluation/experiment.py", "workers/evaluating/")
#: What is made of one kind's figures, or asks for an evaluation of one kind, and the documentation's examples.
NAMED_ON_PURPOSE = {
    "app/evaluations/routes.py": set(EXPERIMENTS),
    "app/queries/groups/verify.py": {"leave-out"},
    "app/queries/method_choice.py": {"lds"},
    "app/sweeps/submit.py": {"lds"},
    "influence/evaluating/dampings.py": {"lds"},
}
#: Words that mean something else as well.
COMMON = {"correlation"}


def named_in(path: Path) -> Iterator[str]:
    """Kinds that a file names, as texts or by their requests."""
    classes = {found.__name__: kind for kind, found in EXPERIMENTS.items()}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and node.value in EXPERIMENTS and node.value not in COMMON:
            yield str(node.value)
        elif isinstance(node, ast.Name) and node.id in classes:
            yield classes[node.id]


def test_no_other_product_file_names_a_kind_of_evaluation() -> None:
    found = {}
    for package in ("app", "cli", "influence", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            place = path.relative_to(ROOT).as_posix()
            if not place.startswith(AT_HOME):
                found[place] = set(named_in(path)) - NAMED_ON_PURPOSE.get(place, set())
    assert {place: kinds for place, kinds in found.items() if kinds} == {}


def test_every_kind_has_its_request() -> None:
    assert tuple(EXPERIMENTS) == get_args(EvaluationKind)


class ByHand(Experiment):
    """A kind that the product never heard of."""

    needs_index: ClassVar[bool] = True
    counts: tuple[int, ...] = (3, 5)

    @property
    def trainings(self) -> int:
        return len(self.counts)


@pytest.mark.parametrize("kind", [ByHand, *EXPERIMENTS.values()], ids=lambda kind: kind.__name__)
def test_the_rules_of_a_kind_do_not_contradict_each_other(kind: type[Experiment]) -> None:
    assert not (kind.trains_its_own and kind.needs_index)
    assert kind.storages
    source = {"index_id": "idx_1"} if kind.needs_index else {"dataset_id": "ds_1"}
    name = {"kind": next(iter(get_args(kind.model_fields["kind"].annotation)))} if "kind" in kind.model_fields else {}
    request = kind.model_validate({**source, **name})
    assert request.trainings >= 1
    assert request.most_left_out >= 0
