"""Somebody who is told: a real HTTP server on a free port that keeps what it was sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from standardwebhooks import Webhook as Verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from influence.contracts.common import Json
from support.processes.listening import listening


@dataclass
class Receiver:
    """What came, in order, and the statuses of the next answers; 204 when there are none left."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.body())
        status = self.statuses.pop(0) if self.statuses else 204
        return Response(status_code=status, headers={"location": f"{self.url}/elsewhere"})

    def verified(self, secret: str) -> list[Json]:
        """What came, each checked by the scheme's own library."""
        return [Verifier(secret).verify(body, head) for body, head in zip(self.bodies, self.headers, strict=True)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, until the block ends."""
    receiver = Receiver()
    with listening(Starlette(routes=[Route("/{path:path}", receiver.take, methods=["POST"])])) as address:
        receiver.url = address
        yield receiver
