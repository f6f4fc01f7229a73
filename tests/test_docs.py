"""The documentation names everything that a user can set or meet."""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from app.settings import ApiSettings
from influence.auditing.signals import MEANINGS
from influence.contracts.audit import AuditedRow, AuditRequest
from influence.contracts.dataset import ROW_FORMS
from influence.contracts.tasks import TASKS
from influence.errors import DatainfError
from influence.methods.baselines import BASELINES
from influence.methods.registry import METHODS
from workers.settings import WorkerSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"


def all_errors(parent: type[DatainfError] = DatainfError) -> Iterator[type[DatainfError]]:
    for child in parent.__subclasses__():
        # Tests define errors of their own.
        if child.__module__ == DatainfError.__module__:
            yield child
        yield from all_errors(child)


@pytest.mark.parametrize("name", sorted({*ApiSettings.model_fields, *WorkerSettings.model_fields}))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`DATAINF_{name.upper()}`" in (DOCS / "running" / "operations.md").read_text()


@pytest.mark.parametrize("error", sorted(set(all_errors()), key=attrgetter("code")), ids=attrgetter("code"))
def test_every_error_code_is_documented(error: type[DatainfError]) -> None:
    assert f"| {error.status} | `{error.code}` | {error.title} |" in (DOCS / "api.md").read_text()


@pytest.mark.parametrize("name", sorted({*METHODS, *BASELINES}))
def test_every_method_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "method.md").read_text()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (DOCS / "tasks.md").read_text()


@pytest.mark.parametrize("kind", ROW_FORMS)
def test_every_kind_of_rows_is_documented(kind: str) -> None:
    assert f"| {kind} |" in (DOCS / "api.md").read_text()


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_every_signal_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (DOCS / "audit.md").read_text()


@pytest.mark.parametrize("name", sorted({*AuditRequest.model_fields, *AuditedRow.model_fields}))
def test_every_field_of_an_audit_is_documented(name: str) -> None:
    assert name in (DOCS / "api.md").read_text().partition(". An audit")[2]


def test_codes_are_not_shared_by_different_errors() -> None:
    codes = [error.code for error in set(all_errors())]
    assert len(codes) == len(set(codes))
