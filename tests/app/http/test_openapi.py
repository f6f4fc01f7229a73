"""The contract that /docs shows."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from app.evaluations.routes import EXAMPLES as EVALUATIONS
from app.queries.routes import EXAMPLES
from influence.contracts.evaluation.experiment import EvaluationRequest
from influence.contracts.query import QueryRequest


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    return dict(client.get("/openapi.json").json())


def test_every_call_is_described_with_its_errors(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["Problem"]
    assert set(problem["required"]) >= {"type", "title", "status", "detail", "code", "hint"}
    for path, calls in document["paths"].items():
        for call in calls.values():
            assert call["summary"]
            assert len(call["tags"]) == 1
            if path.startswith("/v1/"):
                refused = call["responses"]["401"]["content"]["application/problem+json"]
                assert refused["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert call["security"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


def test_both_bodies_of_an_upload_are_described(document: dict[str, Any]) -> None:
    for path, field in (("/v1/datasets", "file"), ("/v1/checkpoints", "adapter")):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert field in content["multipart/form-data"]["schema"]["properties"]
        assert content["application/json"]["schema"]["properties"]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_examples_are_requests(name: str) -> None:
    QueryRequest.model_validate(EXAMPLES[name]["value"])


@pytest.mark.parametrize("name", sorted(EVALUATIONS))
def test_the_examples_of_evaluations_are_requests(name: str) -> None:
    assert TypeAdapter(EvaluationRequest).validate_python(EVALUATIONS[name]["value"]).kind == name


def test_metrics_are_described_as_text(document: dict[str, Any]) -> None:
    assert list(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
