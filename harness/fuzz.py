"""Requests made from the OpenAPI document, with what no well-meaning client sends mixed in: none may end in a 5xx, and
every answer has to be one that the document states.
"""

import random
import warnings
from collections import Counter
from typing import Any

import hypothesis
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import HypothesisDeprecationWarning
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.bending import bend
from harness.furnished import Furnished

_CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
#: Watches a job for as long as there are events.
_STREAMS = ("/v1/jobs/{job_id}/events",)


def run_fuzz(app: FastAPI, furnished: Furnished, *, seed: int, requests: int) -> tuple[Counter[str], list[str]]:
    """(answers by status, what was found wrong) of about so many requests, spread evenly over all operations.

    Deletions come last: what is gone can be asked about no more.
    """
    schema = schemathesis.openapi.from_asgi("/openapi.json", _requests_alone(app))
    every: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    operations = [operation for operation in every if operation.path not in _STREAMS]
    statuses: Counter[str] = Counter()
    wrong: list[str] = []
    dice = random.Random(seed)
    with warnings.catch_warnings():
        # Schemathesis draws from `random` in strategies of its own, and is told so at every request.
        warnings.simplefilter("ignore", HypothesisDeprecationWarning)
        for operation in sorted(operations, key=lambda operation: operation.method.upper() == "DELETE"):
            _fuzz_one(operation, max(1, requests // len(operations)), dice, furnished, statuses, wrong)
    return statuses, wrong


def _requests_alone(app: FastAPI) -> ASGIApp:
    """An application for whoever sends requests: it was started by others, who end it; Schemathesis would start it once
    more, and end it never."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError("this application runs already")
        await app(scope, receive, send)

    return answer


def _fuzz_one(
    operation: Any,
    count: int,
    dice: random.Random,
    furnished: Furnished,
    statuses: Counter[str],
    wrong: list[str],
) -> None:
    @hypothesis.seed(dice.getrandbits(32))
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def send(case: Any) -> None:
        bend(case, dice, furnished)
        try:
            answer = case.call()
        except (UnicodeEncodeError, ValueError):  # the client itself cannot write it
            return
        statuses[str(answer.status_code)] += 1
        for check in _CHECKS:
            try:
                case.validate_response(answer, checks=[check])
            except (AssertionError, schemathesis.errors.SchemathesisError, BaseExceptionGroup) as error:
                text = " ".join(str(error).split())[:300]
                sent = f"{case.method} {case.formatted_path[:100]} {str(case.query)[:200]} {str(case.body)[:400]}"
                wrong.append(f"{sent} -> {answer.status_code}: {text}")

    send()
