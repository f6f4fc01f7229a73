"""The provider of spans; loaded only where traces are sent."""

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter


class ForgetQueries(SpanProcessor):
    """Takes a URL's query out of the span of its request: people search for words of rows."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.attributes is not None and "url.query" in span.attributes:
            span.set_attribute("url.query", "")


def make_provider(service: str, exporter: SpanExporter | None = None) -> TracerProvider:
    """A provider under a service's name, to an exporter; by default to where the environment says, in batches."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(ForgetQueries())
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return provider
