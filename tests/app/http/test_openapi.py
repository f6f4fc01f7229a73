"""The contract that /docs shows, and how the process starts."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from app.evaluations.routes import EXAMPLES as EVALUATIONS
from app.queries.routes import EXAMPLES
from influence.contracts.evaluation import EvaluationRequest
from influence.contracts.query import QueryRequest
from influence.store.embedded import EmbeddedServer


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


def test_the_api_loads_no_torch() -> None:
    heavy = "('torch', 'transformers', 'peft', 'scipy', 'pyarrow', 'huggingface_hub')"
    code = f"import app.main, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_process_serves_soon_after_its_start(
    server: EmbeddedServer, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    environment = {
        **os.environ,
        "DATAINF_REDIS_URL": server.url,
        "DATAINF_DATA_DIR": str(tmp_path),
        "DATAINF_PORT": "0",
        "DATAINF_LOG_JSON": "true",
    }
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "app"], env=environment, stderr=log)

    def read_lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log_path.read_text().splitlines() if line.endswith("}")]

    def find_url() -> str | None:
        found = [line["event"].split()[3] for line in read_lines() if line["event"].startswith("Uvicorn running on")]
        return found[0] if found else None

    try:
        wait_until(find_url, "the address is logged")
        url = find_url()
        assert urllib.request.urlopen(f"{url}/health/live").status == 200
        print(f"live {time.perf_counter() - started:.2f} s after start")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(f"{url}/v1/jobs/job_0", headers={"X-Request-Id": "r-1"}))
        wait_until(lambda: any(line["event"] == "request" for line in read_lines()), "requests are logged")
    finally:
        process.terminate()
        process.wait(20)
    logged = next(line for line in read_lines() if line.get("status") == 404)
    assert (logged["request_id"], logged["method"], logged["path"]) == ("r-1", "GET", "/v1/jobs/job_0")
    assert logged["ms"] >= 0


def test_an_open_door_is_refused_in_one_line() -> None:
    environment = {**os.environ, "DATAINF_HOST": "0.0.0.0", "DATAINF_API_KEYS": "[]"}
    found = subprocess.run([sys.executable, "-m", "app"], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "DATAINF_API_KEYS" in found.stderr
    assert "Traceback" not in found.stderr
