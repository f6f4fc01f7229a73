"""Which requests are traced, and what of them is kept: the framework makes the spans."""

from typing import Any

from fastapi.telemetry import TelemetryConfig

from app.http.serving.middleware import PROBES
from influence.process.tracing import find_provider


def describe_traces() -> TelemetryConfig:
    """The framework's settings: spans of requests where traces are sent, nothing else; probes leave none.

    Its own metrics and logs stay off: `/metrics` counts requests already, and a refusal may quote what was sent.
    """
    return {
        "tracing": find_provider() is not None,
        "tracer_provider": find_provider(),
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": _is_probe,
    }


def _is_probe(scope: Any) -> bool:
    return str(scope.get("path", "")).startswith(PROBES)
