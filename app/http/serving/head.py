"""HEAD for everything that answers GET (RFC 9110, 9.3.2): the same status and headers, and no body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Asks what is within by GET and keeps the body back. What flows, as events do, hears that its reader left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server itself looks at the method to know that no body follows.
        within = {**scope, "method": "GET"}
        answer = _HeadersOnly(receive, send)
        await self._app(within, answer.receive, answer.send)
        if "route" in within:
            scope["route"] = within["route"]


class _HeadersOnly:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_answered = False

    async def receive(self) -> Message:
        return {"type": "http.disconnect"} if self._is_answered else await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
        elif message["type"] == "http.response.body" and not self._is_answered:
            self._is_answered = True
            await self._send({"type": "http.response.body", "body": b""})
