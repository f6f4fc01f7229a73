"""Whether the server has room."""

import redis


def is_full(client: redis.Redis) -> bool:
    """Whether the server refuses writes because it holds more than its `maxmemory`.

    Asked of the server, not left in a record by whoever was refused: a full server takes no record either.
    """
    facts = client.info("memory")
    limit = int(facts.get("maxmemory", 0))
    counted = int(facts["used_memory"]) - int(facts.get("mem_not_counted_for_evict", 0))
    return limit > 0 and counted >= limit
