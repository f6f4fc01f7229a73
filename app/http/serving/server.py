"""The HTTP server around the application: who may keep it waiting, and how it ends."""

import asyncio
import signal
import socket
from types import FrameType
from typing import NoReturn, cast

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.http.context import Context
from app.http.limits import RETRY_SECONDS
from app.http.problems import problem_response
from app.settings import ApiSettings
from influence.digests import new_id
from influence.errors import TooManyConnections

#: Time for running requests to end, when the process is asked to stop.
STOP_SECONDS = 10
#: A caller who has not sent a request's headers after so long is cut off.
HEADER_SECONDS = 10.0
#: So is one who has not sent another byte of a body for so long.
BODY_SECONDS = 60.0
EXIT_NOT_STARTED = 3


async def refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """An application for connections beyond those that are served: a refusal, and the connection ends."""
    error = TooManyConnections(
        "This process serves as many connections as it is allowed to.", extra={"retry_after_seconds": RETRY_SECONDS}
    )
    await problem_response(error, new_id("req"), {"Connection": "close"})(scope, receive, send)


class CallerDeadline(H11Protocol):
    """Closes a connection whose caller keeps it waiting: for a request's headers, or for more of a body that it began.

    It would hold its place, and what was received of an upload, for ever.
    """

    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The server's own check, which this replaces, answers in plain text.
        most, self.limit_concurrency = self.config.limit_concurrency, None
        if most is not None and len(self.connections) > most:
            self.app = refuse_connection
        self._expect(self.header_seconds)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._forget()
            self._expect(self.body_seconds)
        elif state is not h11.IDLE:
            self._forget()
        elif self._deadline is None:
            self._expect(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._give_up, seconds)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self, seconds: float) -> None:
        if self.transport.is_reading():
            self.transport.close()
        else:  # it is us who keep the caller waiting
            self._expect(seconds)


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
        http=CallerDeadline,
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
