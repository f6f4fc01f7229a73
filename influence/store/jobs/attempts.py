"""How often work on a piece of a job has begun: what kills whoever takes it is not tried without end."""

import redis

from influence.errors import RecordDamaged
from influence.store import keys
from influence.store.connections import StoreRefusedError

#: KEYS: job hash. ARGV: a field that counts. Where it comes to nothing, no field is left: nor a hash of a gone job.
_FORGET = """
local count = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if count and count > 1 then return redis.call('HINCRBY', KEYS[1], ARGV[1], -1) end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
_MOST_DIGITS = 9


class Attempts:
    """Counts in the hashes of jobs, one for each piece."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._forget_script = client.register_script(_FORGET)

    def count(self, job_id: str, piece: int) -> int:
        """Count that work on a piece begins; answers how often it has begun, this time included.

        Raises RecordDamaged where what is kept is no count: nobody knows how often that was.
        """
        name, field = keys.job(job_id), f"attempts:{piece}"
        try:
            count = int(self._client.hincrby(name, field, 1))
        except StoreRefusedError:  # of what is no number, but also where the server takes no writes
            known = self._client.hget(name, field)
            if known is None or (known.isdigit() and len(known) <= _MOST_DIGITS):
                raise
            count = 0
        if count < 1:
            raise RecordDamaged(f"How often piece {piece} of job '{job_id[:80]}' was begun cannot be read.")
        return count

    def forget(self, job_id: str, piece: int) -> None:
        """Take a count back: whoever began left the work alive. The record of a job that was deleted stays away."""
        self._forget_script(keys=[keys.job(job_id)], args=[f"attempts:{piece}"])
