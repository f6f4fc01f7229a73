"""Connections to the two Redis roles: every client of a server is made here."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.connection import parse_url
from redis.driver_info import DriverInfo
from redis.retry import Retry

from influence.errors import InvalidRequest

#: What a lost, full or refusing server raises; translated to StoreUnavailable at the process boundaries.
StoreError = redis.exceptions.RedisError
StoreConnectionError = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
StoreFullError = redis.exceptions.OutOfMemoryError
#: What a server says that takes a command from nobody, or not from us.
StoreRefusedError = redis.exceptions.ResponseError

#: The client that waits for events.
AsyncClient = redis.asyncio.Redis

#: A few megabytes per value: redis-py's default of 64 KiB makes reading them a third slower.
_READ_BYTES = 1 << 18
_HEALTH_CHECK_SECONDS = 30
#: How clients name themselves to the server; made anew, it looks the package's version up on disk for every connection.
_DRIVER = DriverInfo()
_SENTINEL_PORT = 26379
#: How TLS says that no authority we trust vouches for the server.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_SENTINEL_HINT = "Write it as redis+sentinel://host:26379,host:26379/name/0 (rediss+sentinel:// with TLS)."


@dataclass(frozen=True)
class Deadlines:
    """How long a call to a server may take: to connect, from one piece of the answer to the next, how often again."""

    connect_seconds: float = 5.0
    answer_seconds: float = 30.0
    retries: int = 3


#: Of workers, whose work takes long anyway and goes on after a pause.
PATIENT = Deadlines()
#: Of the API, where a caller waits.
PROMPT = Deadlines(connect_seconds=2.0, answer_seconds=5.0, retries=1)
#: Of probes, which say within a second whether the server answers.
BRISK = Deadlines(connect_seconds=0.4, answer_seconds=0.4, retries=0)


@dataclass(frozen=True)
class Connections:
    """Clients of the state and the cache role; one and the same when only one URL is set."""

    state: redis.Redis
    cache: redis.Redis
    state_url: str
    cache_url: str | None = None

    def close(self) -> None:
        """Close both clients' connections, those to sentinels, too."""
        for client in (self.state, self.cache):
            client.close()
            for sentinel in _sentinels_of(client):
                sentinel.close()

    def again(self, deadlines: Deadlines) -> "Connections":
        """Other clients of the same servers."""
        return connect(self.state_url, self.cache_url, deadlines)


def connect(state_url: str, cache_url: str | None = None, deadlines: Deadlines = PATIENT) -> Connections:
    """Make clients for the URLs (see `influence.settings`); nothing is sent yet. Raises InvalidRequest for a URL that
    cannot be read."""
    state = _client(state_url, deadlines)
    cache = state if cache_url in (None, state_url) else _client(str(cache_url), deadlines)
    return Connections(state, cache, state_url, cache_url)


def _client(url: str, deadlines: Deadlines) -> redis.Redis:
    options = {
        **_each(deadlines),
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), deadlines.retries),
        "health_check_interval": _HEALTH_CHECK_SECONDS,
        "socket_read_size": _READ_BYTES,
    }
    if (watched := _read_sentinels(url)) is None:
        plain: redis.Redis = redis.Redis.from_url(url, **options)
        return plain
    known = {**_each(deadlines), **watched.secrets}
    sentinel: Any = redis.sentinel.Sentinel(watched.hosts, sentinel_kwargs=known)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(watched.service, **watched.server, **options)
    return client


def connect_async(state_url: str, deadlines: Deadlines = PROMPT) -> redis.asyncio.Redis:
    """An asyncio client of the state role, for waiting on events only."""
    retry = AsyncRetry(ExponentialBackoff(cap=1.0, base=0.05), deadlines.retries)
    options: dict[str, Any] = {**_each(deadlines), "retry": retry}
    if (watched := _read_sentinels(state_url)) is None:
        plain: redis.asyncio.Redis = redis.asyncio.Redis.from_url(state_url, **options)
        return plain
    known = {**_each(deadlines), **watched.secrets}
    sentinel: Any = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        watched.hosts, sentinel_kwargs=known
    )
    client: redis.asyncio.Redis = sentinel.master_for(watched.service, **watched.server, **options)
    return client


def _each(deadlines: Deadlines) -> dict[str, Any]:
    """Options of every connection."""
    return {
        "socket_connect_timeout": deadlines.connect_seconds,
        "socket_timeout": deadlines.answer_seconds,
        "driver_info": _DRIVER,
    }


@dataclass(frozen=True)
class _Watched:
    """A server that sentinels know: theirs, and how they are spoken to; its name, and how it is."""

    hosts: list[tuple[str, int]]
    secrets: dict[str, Any]
    service: str
    server: dict[str, Any]


def _read_sentinels(url: str) -> _Watched | None:
    """`redis+sentinel://user:password@host:port,host:port/name/db?options`, or None for another URL.

    The user is the server's; that of the sentinels is given by `sentinel_username` and `sentinel_password`.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if kind != "sentinel":
        return None
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    try:
        single = urlunsplit((scheme, f"{user}{at}host", f"/{database}", parts.query, ""))
        found: dict[str, Any] = parse_url(single)  # type: ignore[no-untyped-call]
        ports = [urlsplit(f"//{host}") for host in hosts.split(",")]
        named = [(str(host.hostname or ""), host.port or _SENTINEL_PORT) for host in ports]
    except ValueError as error:
        raise InvalidRequest(f"The URL of the sentinels cannot be read: {error}.", hint=_SENTINEL_HINT) from error
    if not service or not all(host for host, _ in named):
        raise InvalidRequest("The URL of the sentinels names no server, or no host.", hint=_SENTINEL_HINT)
    server = {name: value for name, value in found.items() if name not in ("host", "connection_class")}
    secrets = {name: server.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    if scheme == "rediss":
        server["ssl"] = True
    encryption = {name: value for name, value in server.items() if name.startswith("ssl")}
    return _Watched(named, {**secrets, **encryption}, service, server)


def check_servers(connections: Connections) -> None:
    """Raise InvalidRequest where a server is part of a Redis Cluster, or shows a certificate that is not trusted.

    One that does not answer yet, or says nothing of itself, passes.
    """
    for client, name in ((connections.state, "DATAINF_REDIS_URL"), (connections.cache, "DATAINF_CACHE_URL")):
        try:
            is_node = bool(int(client.info("cluster").get("cluster_enabled", 0)))
        except StoreError as error:
            if _UNTRUSTED not in str(error):
                continue
            raise InvalidRequest(
                f"{name} names a server whose certificate is not trusted: {error}.",
                hint="Name the file of the authority in the URL: rediss://host:6379/0?ssl_ca_certs=/path/ca.pem",
            ) from error
        if is_node:
            raise InvalidRequest(
                f"{name} names a node of a Redis Cluster, which cannot keep the queue and the records.",
                hint="Name a single server, or one with replicas by its sentinels (redis+sentinel://).",
            )


async def close_async(client: redis.asyncio.Redis) -> None:
    """Close an asyncio client's connections, those to sentinels, too."""
    await client.aclose()
    for sentinel in _sentinels_of(client):
        await sentinel.aclose()


def _sentinels_of(client: redis.Redis | redis.asyncio.Redis) -> list[Any]:
    """The clients of sentinels by which a client finds its server: it does not close them itself."""
    watching = getattr(client.connection_pool, "sentinel_manager", None)
    return [] if watching is None else list(watching.sentinels)


def memory_bytes(client: redis.Redis) -> tuple[int, int]:
    """What the server holds and the most that it may; the latter is 0 where it has no bound."""
    facts = client.info("memory")
    return int(facts["used_memory"]), int(facts.get("maxmemory", 0))


def is_full(client: redis.Redis) -> bool:
    """Whether the server refuses writes because it holds more than its `maxmemory`.

    Asked of the server, not left in a record by whoever was refused: a full server takes no record either.
    """
    facts = client.info("memory")
    limit = int(facts.get("maxmemory", 0))
    counted = int(facts["used_memory"]) - int(facts.get("mem_not_counted_for_evict", 0))
    return limit > 0 and counted >= limit


def as_text(value: bytes | str) -> str:
    """What a server keeps, as text. Bytes that are none become marks: what reads them refuses them as it does any text
    that means nothing, and no thread ends of them."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
