"""The HTTP server around the application: who may keep it waiting, and how it ends."""

import asyncio
import signal
import socket
from types import FrameType
from typing import NoReturn, cast

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.http.context import Context
from app.settings import ApiSettings

#: Time for running requests to end, when the process is asked to stop.
STOP_SECONDS = 10
#: A caller who has not sent a request's headers after so long is cut off.
HEADER_SECONDS = 10.0
EXIT_NOT_STARTED = 3


class HeaderDeadline(H11Protocol):
    """Closes a connection on which no request's headers come in time: it would hold its place for ever."""

    header_seconds = HEADER_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_headers()
        else:
            self._forget_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_headers()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self.transport.close)

    def _forget_headers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """Tells those who watch or wait for jobs that it stops, so that they do not hold it up."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.stopping.set()
        await super().shutdown(sockets)


def serve(app: FastAPI, settings: ApiSettings) -> None:
    """Serve until SIGINT or SIGTERM, then leave with exit status 0."""

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        # uvicorn raises the signal again once it has ended in order; the default action would look like a crash.
        raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=HeaderDeadline,
        ws="none",
        log_config=None,
        access_log=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    server = Server(config, cast("Context", app.state.context))
    server.run()
    if not server.started:
        raise SystemExit(EXIT_NOT_STARTED)
