"""Structured logs of every process: text for people, one JSON object a line for machines."""

import logging

import structlog


def say_planned_ends_shortly(record: logging.LogRecord) -> bool:
    """A process that is asked to end gives its work back by an InterruptedError: no fault, and no traceback."""
    if record.exc_info is not None and isinstance(record.exc_info[1], InterruptedError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "work goes back to the queue: this process ends", None
        record.exc_info = None
    return True


def configure_logs(level: str, *, as_json: bool) -> None:
    """Send our own and the libraries' records through one pipeline to standard error."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.addFilter(say_planned_ends_shortly)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
