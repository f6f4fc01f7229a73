"""What is worth a line in the log, and at which level."""

import logging

import pytest
import structlog

from app.http.serving.middleware import is_routine
from influence.process.logs import say_planned_ends_shortly


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/health/ready", 200),
        ("GET", "/health/ready", 503),
        ("GET", "/metrics", 200),
        ("GET", "/v1/jobs/{job_id}", 200),
        ("GET", "/v1/jobs/{job_id}/events", 200),
        ("GET", "/v1/indexes/{index_id}", 304),
    ],
)
def test_probes_and_polls_are_routine(method: str, route: str, status: int) -> None:
    assert is_routine(method, route, status)


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/v1/jobs/{job_id}", 404),
        ("DELETE", "/v1/jobs/{job_id}", 200),
        ("POST", "/v1/indexes", 202),
        ("GET", "/v1/indexes/{index_id}", 200),
    ],
)
def test_what_somebody_asked_for_is_not(method: str, route: str, status: int) -> None:
    assert not is_routine(method, route, status)


def make_record(error: BaseException) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__)
    return logging.LogRecord("dramatiq", logging.ERROR, "", 0, "Failed to process %s", ("it",), exc_info)


def test_work_that_goes_back_at_a_planned_end_shows_no_traceback() -> None:
    record = make_record(InterruptedError("the worker is ending"))
    assert say_planned_ends_shortly(record)
    assert (record.levelno, record.exc_info) == (logging.INFO, None)
    shown = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer()).format(record)
    assert "goes back to the queue" in shown
    assert "Traceback" not in shown


def test_a_fault_keeps_its_traceback() -> None:
    record = make_record(ValueError("broken"))
    assert say_planned_ends_shortly(record)
    assert record.exc_info is not None
    assert record.levelno == logging.ERROR
