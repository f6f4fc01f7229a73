"""A task and a kind of rows are declared once, and nobody else knows them by name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers
from peft import TaskType

from influence.contracts.dataset import ROW_FORMS
from influence.contracts.tasks import TASKS, TaskDeclaration, training_task
from influence.errors import RowsUnfit
from workers.tasks.registry import MAKERS

PROJECT = Path(__file__).resolve().parents[2]
PRODUCT = ("app", "cli", "influence", "workers", "demo", "benchmarks")
DECLARATIONS = {"influence/contracts/tasks.py", "influence/contracts/dataset.py"}


def product_files() -> Iterator[Path]:
    for package in PRODUCT:
        yield from (file for file in (PROJECT / package).rglob("*.py") if "__pycache__" not in file.parts)


def other_files() -> list[Path]:
    return [file for file in product_files() if str(file.relative_to(PROJECT)) not in DECLARATIONS]


def strings_of(node: ast.AST) -> Iterator[str]:
    return (part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))


def test_no_other_product_file_names_a_task() -> None:
    found = {
        str(file.relative_to(PROJECT)): name
        for file in other_files()
        for text in strings_of(ast.parse(file.read_text()))
        for name in TASKS
        if name in text
    }
    assert len(other_files()) > 300
    assert not found


def test_no_other_product_file_compares_with_the_name_of_a_kind_of_rows() -> None:
    found = []
    for file in other_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("kind"):
                compared = {text for part in node.comparators for text in strings_of(part)}
                found += [(str(file.relative_to(PROJECT)), name) for name in compared & ROW_FORMS.keys()]
    assert not found


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_declaration_is_whole(task: TaskDeclaration) -> None:
    assert TASKS[task.name] is task
    assert task.rows.keys() <= ROW_FORMS.keys()
    assert task.name in MAKERS
    assert task.auto_class is None or hasattr(transformers, task.auto_class)
    assert task.peft_type is None or TaskType(task.peft_type)


@pytest.mark.parametrize("kind", ROW_FORMS)
def test_every_kind_of_rows_trains_some_task(kind: str) -> None:
    assert kind in training_task(kind).rows


def test_rows_that_no_task_takes_are_refused_by_their_kind() -> None:
    with pytest.raises(RowsUnfit, match="sounds"):
        training_task("sounds")


def test_no_two_kinds_of_rows_are_made_of_the_same_roles() -> None:
    roles = [known for form in ROW_FORMS.values() for known in form.role_sets()]
    assert len(roles) == len(set(roles)) > len(ROW_FORMS)
