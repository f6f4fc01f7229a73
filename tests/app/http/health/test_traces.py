"""One trace from a request over the queue to the worker, where traces are asked for."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError
from starlette.testclient import TestClient
from support.service import running_worker

from app.settings import ApiSettings
from influence.contracts.checkpoint import Checkpoint
from influence.process.otel import make_provider
from influence.process.tracing import use_provider
from influence.store.data.files import Files
from influence.store.queue import TRACE
from influence.store.store import Store

#: What only traces load; the client of Redis looks for the SDK by itself.
OURS = ("influence.process.otel", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def spans() -> Iterator[Callable[[], dict[str, ReadableSpan]]]:
    """What was traced so far, by name."""
    exporter = InMemorySpanExporter()
    provider = make_provider("test", exporter)
    use_provider(provider)

    def read() -> dict[str, ReadableSpan]:
        provider.force_flush()
        return {span.name: span for span in exporter.get_finished_spans()}

    yield read
    use_provider(None)
    provider.shutdown()


def test_the_worker_continues_the_caller_s_trace(
    spans: Callable[[], dict[str, ReadableSpan]],
    checkpoint: Checkpoint,
    dataset_id: str,
    make_client: Callable[..., TestClient],
    store: Store,
    files: Files,
    wait_until: Callable[..., None],
) -> None:
    body = {"checkpoint_id": checkpoint.id, "dataset_id": dataset_id}
    made = make_client().post("/v1/indexes", json=body, headers={"traceparent": PARENT}).json()
    with running_worker(store.connections.state_url, files.root):
        wait_until(lambda: store.jobs.require(made["job_id"]).is_final, "the build has failed for want of a model")
        wait_until(lambda: "plan_index" in spans(), "the worker's span is there")
    asked, worked = spans()["POST /v1/indexes"], spans()["plan_index"]
    assert f"{asked.context.trace_id:032x}" == PARENT.split("-")[1]
    assert worked.context.trace_id == asked.context.trace_id
    assert worked.parent is not None
    assert worked.parent.span_id == asked.context.span_id
    assert worked.attributes is not None
    assert worked.attributes["datainf.index_id"] == made["id"]


def test_what_was_searched_for_and_probes_leave_no_trace(
    spans: Callable[[], dict[str, ReadableSpan]], dataset_id: str, make_client: Callable[..., TestClient]
) -> None:
    client = make_client()
    client.get("/health/live")
    client.get(f"/v1/datasets/{dataset_id}/rows", params={"q": "a secret word"})
    assert not any(name.startswith("GET /health") for name in spans())
    assert "secret" not in str([dict(span.attributes or {}) for span in spans().values()])


def test_without_traces_messages_carry_nothing(index: dict[str, Any], store: Store) -> None:
    texts = store.connections.state.hvals("datainf-queue:build.msgs")
    assert texts
    assert not any(f'"{TRACE}"'.encode() in text for text in texts)


def test_nothing_is_loaded_that_is_not_asked_for() -> None:
    program = f"import app.__main__, sys; print([name for name in {OURS} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert shown.stdout.strip() == "[]"


def test_traces_without_the_extra_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("influence.settings.find_spec", lambda _name: None)
    with pytest.raises(ValidationError, match=r"datainf-service\[otel\]"):
        ApiSettings(data_dir=tmp_path, traces=True)
