"""Requests made from the OpenAPI document, with what no well-meaning client sends mixed in: none may end in a 5xx, and
every answer has to be one that the document states.
"""

import random
from collections import Counter
from typing import Any

import hypothesis
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

#: Ids and texts that broke something once.
ODD = ["\ud800", "\x00", "idx_1:commits", "qry_1:scores:0", "*", "%", "...", "a" * 5000, "{}", " ", "💥", "-1", "1e400"]
_CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
#: Watches a job for as long as there are events.
_STREAMS = ("/v1/jobs/{job_id}/events",)


def run_fuzz(app: FastAPI, *, seed: int, requests: int, ids: dict[str, str]) -> tuple[Counter[str], list[str]]:
    """(answers by status, what was found wrong) of about so many requests, spread evenly over all operations."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    every: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    operations = [operation for operation in every if operation.path not in _STREAMS]
    statuses: Counter[str] = Counter()
    wrong: list[str] = []
    dice = random.Random(seed)
    for operation in operations:
        _fuzz_one(operation, max(1, requests // len(operations)), dice, ids, statuses, wrong)
    return statuses, wrong


def _fuzz_one(
    operation: Any, count: int, dice: random.Random, ids: dict[str, str], statuses: Counter[str], wrong: list[str]
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
        twist(case, dice, ids)
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
                wrong.append(f"{case.method} {case.formatted_path[:100]} -> {answer.status_code}: {text}")

    send()


def twist(case: Any, dice: random.Random, ids: dict[str, str]) -> None:
    """Half of the ids are real, some are odd; some bodies get odd texts and depth."""
    for name in case.path_parameters or {}:
        if dice.random() < 0.5 and name in ids:
            case.path_parameters[name] = ids[name]
        elif dice.random() < 0.2:
            case.path_parameters[name] = dice.choice(ODD)
    if isinstance(case.body, dict) and case.body and dice.random() < 0.3:
        name = dice.choice(list(case.body))
        case.body[name] = dice.choice([*ODD, [[[[]]]] * 3, nested(500), 1e308, -1, None, {"$ref": "#"}])


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value
