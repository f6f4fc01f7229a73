"""One attempt to tell one webhook: signed by the Standard Webhooks scheme, sent to an address that was looked at."""

import asyncio

import httpx
from standardwebhooks import Webhook as Signer

from influence.contracts.common import now
from influence.contracts.curation.webhook import Event
from influence.errors import InvalidRequest
from influence.process.addresses import Address, check_url, is_public, resolve

#: For name, connection and the head of the answer together; nobody reads the rest of it.
TIMEOUT_SECONDS = 15.0
_PORTS = {"http": 80, "https": 443}


class NotTaken(Exception):
    """A message was not taken; `status` is the receiver's answer, if any."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


async def send_event(
    url: str, secret: str, event: Event, *, allow_private: bool, timeout_seconds: float = TIMEOUT_SECONDS
) -> int:
    """POST an event; answers the receiver's status, 200 to 299. Raises NotTaken.

    The connection goes to the very address that was found public, whatever the name means a moment later; redirects
    are not followed, and proxies of the environment not used.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            status = await _post(url, secret, event, allow_private=allow_private)
    except TimeoutError as error:
        raise NotTaken(f"No answer within {timeout_seconds:g} seconds.") from error
    except InvalidRequest as error:  # allowed when it was registered
        raise NotTaken(error.detail) from error
    except ValueError as error:  # a stored secret that is none any more
        raise NotTaken(f"It cannot be signed or addressed: {error}.") from error
    except httpx.HTTPError as error:
        raise NotTaken(f"No answer: {str(error)[:200] or type(error).__name__}.") from error
    if not 200 <= status < 300:
        raise NotTaken("Redirects are not followed." if 300 <= status < 400 else f"Answered {status}.", status)
    return status


async def _post(text: str, secret: str, event: Event, *, allow_private: bool) -> int:
    url = check_url(text, allow_private=allow_private)
    host, port = url.raw_host.decode(), url.port or _PORTS[url.scheme]
    address = await _find_address(host, port, allow_private=allow_private)
    body = event.model_dump_json(include={"type", "timestamp", "data"})
    request = {
        "content": body.encode(),
        "headers": {**_sign(secret, event, body), "host": url.netloc.decode(), "content-type": "application/json"},
        "extensions": {"sni_hostname": host},
    }
    async with (
        httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=None) as client,
        client.stream("POST", url.copy_with(host=str(address)), **request) as answer,  # type: ignore[arg-type]
    ):
        return answer.status_code


def _sign(secret: str, event: Event, body: str) -> dict[str, str]:
    at = now()
    return {
        "user-agent": "datainf-service",
        "webhook-id": event.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(secret).sign(event.id, at, body),
    }


async def _find_address(host: str, port: int, *, allow_private: bool) -> Address:
    try:
        found = await asyncio.to_thread(resolve, host, port)
    except (OSError, UnicodeError) as error:
        raise NotTaken(f"{host} is not known to the resolver.") from error
    if not allow_private and not all(map(is_public, found)):
        raise NotTaken(f"{host} is not a public address.")
    return found[0]
