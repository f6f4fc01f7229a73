"""Connections to the two Redis roles."""

from dataclasses import dataclass

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

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
        """Close both clients' connections."""
        self.state.close()
        self.cache.close()

    def again(self, deadlines: Deadlines) -> "Connections":
        """Other clients of the same servers."""
        return connect(self.state_url, self.cache_url, deadlines)


def connect(state_url: str, cache_url: str | None = None, deadlines: Deadlines = PATIENT) -> Connections:
    """Make clients for the URLs (`redis://`, `rediss://` or `unix://`); nothing is sent yet."""
    state = _client(state_url, deadlines)
    cache = state if cache_url in (None, state_url) else _client(str(cache_url), deadlines)
    return Connections(state, cache, state_url, cache_url)


def _client(url: str, deadlines: Deadlines) -> redis.Redis:
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_connect_timeout=deadlines.connect_seconds,
        socket_timeout=deadlines.answer_seconds,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), deadlines.retries),
        health_check_interval=_HEALTH_CHECK_SECONDS,
        socket_read_size=_READ_BYTES,
    )
    return client


def connect_async(state_url: str, deadlines: Deadlines = PROMPT) -> redis.asyncio.Redis:
    """An asyncio client of the state role, for waiting on events only."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        state_url,
        socket_connect_timeout=deadlines.connect_seconds,
        socket_timeout=deadlines.answer_seconds,
        retry=AsyncRetry(ExponentialBackoff(cap=1.0, base=0.05), deadlines.retries),
    )
    return client


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
