"""Connections to the two Redis roles."""

from dataclasses import dataclass

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

#: What a lost, full or refusing server raises; translated to StoreUnavailable at the process boundaries.
StoreError = redis.exceptions.RedisError
StoreConnectionError = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
StoreFullError = redis.exceptions.OutOfMemoryError

#: The client that waits for events.
AsyncClient = redis.asyncio.Redis

CONNECT_TIMEOUT_SECONDS = 5.0
SOCKET_TIMEOUT_SECONDS = 30.0
_RETRIES = 3
#: A few megabytes a value: redis-py's default of 64 KiB makes reading them a third slower.
_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class Connections:
    """Clients of the state and the cache role; one and the same when only one URL is set."""

    state: redis.Redis
    cache: redis.Redis
    state_url: str

    def close(self) -> None:
        """Close both clients' connections."""
        self.state.close()
        self.cache.close()


def connect(state_url: str, cache_url: str | None = None) -> Connections:
    """Make clients for the URLs (`redis://`, `rediss://` or `unix://`); nothing is sent yet."""
    state = _client(state_url)
    cache = state if cache_url in (None, state_url) else _client(str(cache_url))
    return Connections(state, cache, state_url)


def _client(url: str) -> redis.Redis:
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES),
        health_check_interval=30,
        socket_read_size=_READ_BYTES,
    )
    return client


def connect_async(state_url: str) -> redis.asyncio.Redis:
    """An asyncio client of the state role, for waiting on events only."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        state_url, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS
    )
    return client


def is_full(client: redis.Redis) -> bool:
    """Whether the server refuses writes because it holds more than its `maxmemory`.

    Asked of the server, not left in a record by whoever was refused: a full server takes no record either.
    """
    facts = client.info("memory")
    limit = int(facts.get("maxmemory", 0))
    counted = int(facts["used_memory"]) - int(facts.get("mem_not_counted_for_evict", 0))
    return limit > 0 and counted >= limit
