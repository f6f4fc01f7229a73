"""How a demonstration ends: in order, whoever refuses, with what can be done about it."""

import pytest
from rich.console import Console

from datainf_client import ServiceError
from demo.command import carry_out
from influence.errors import DatainfError, InvalidRequest

REFUSALS = [
    ServiceError("No worker is running.", code="no_worker", hint="Start one."),
    InvalidRequest("No worker is running.", hint="Start one."),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusal_is_told_with_its_hint(
    error: DatainfError | ServiceError, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Console) -> None:
        raise error

    assert carry_out(refuse) == 1
    said = capsys.readouterr().out
    assert "Error: No worker is running." in said
    assert "Hint:  Start one." in said


def test_a_story_that_was_told_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out(lambda console: console.print("told")) == 0
    assert "told" in capsys.readouterr().out
