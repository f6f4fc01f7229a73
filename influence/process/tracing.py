"""Traces from a request over the queue to the work done for it, by OpenTelemetry.

They are sent where `DATAINF_TRACES` asks for it and the extra `otel` is installed; else nothing of it is loaded, spans
are null contexts and messages carry nothing. Spans name ids and steps; never a row, a label or a traceback.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

#: What a message takes along of the trace that it was sent in, as W3C trace context.
Carrier = dict[str, str]

_provider: "TracerProvider | None" = None


def configure_traces(service: str, *, is_wanted: bool) -> None:
    """Send this process's spans to where the environment says (`OTEL_EXPORTER_OTLP_ENDPOINT`), under a service name."""
    if is_wanted:
        from influence.process.otel import make_provider

        use_provider(make_provider(service))


def use_provider(provider: "TracerProvider | None") -> None:
    """Take a provider for this process's spans; None ends tracing."""
    global _provider
    _provider = provider


def find_provider() -> "TracerProvider | None":
    """The provider of this process's spans, None where none are taken."""
    return _provider


def carry() -> Carrier:
    """What a message sent now takes along; empty where no trace is under way."""
    carrier: Carrier = {}
    if _provider is not None:
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


def continue_trace(carrier: Any, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[None]:
    """A span of the trace that a message carried; a trace of its own where it carried none."""
    return nullcontext() if _provider is None else _span(_provider, carrier, name, attributes)


@contextmanager
def _span(provider: "TracerProvider", carrier: Any, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind, StatusCode

    parent = propagate.extract(carrier if isinstance(carrier, dict) else {})
    with provider.get_tracer("datainf").start_as_current_span(
        name,
        parent,
        SpanKind.CONSUMER,
        attributes,
        record_exception=False,  # its text may quote a row
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
