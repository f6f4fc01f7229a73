"""A real S3 server on a free port, in a process of its own that ends with the block."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx
import obstore
import pytest
from obstore.store import from_url
from ulid import ULID

#: Says its port, then serves until nobody holds its input any more.
_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@dataclass(frozen=True)
class Bucket:
    """An empty bucket; `url` is what the service is told."""

    endpoint: str
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/team"

    def paths(self) -> list[str]:
        """Everything in it."""
        return sorted(found["path"] for batch in obstore.list(self._store()) for found in batch)

    def size(self, path: str) -> int:
        """Bytes of what lies there."""
        return obstore.head(self._store(), path)["size"]

    def write(self, path: str, content: bytes) -> None:
        """Replace what lies there."""
        obstore.put(self._store(), path, content)

    def _store(self) -> Any:
        return from_url(self.url, client_options={"allow_http": True})


@contextmanager
def object_server() -> Iterator[str]:
    """Its endpoint. What an S3 client reads of the environment is set until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = next(int(line) for line in process.stdout if line.strip().isdigit())
        endpoint = f"http://127.0.0.1:{port}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", endpoint)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_REGION", "us-east-1")
            yield endpoint
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def make_bucket(endpoint: str) -> Bucket:
    """A new bucket."""
    bucket = Bucket(endpoint, f"b-{str(ULID()).lower()}")
    httpx.put(f"{endpoint}/{bucket.name}", timeout=60).raise_for_status()
    return bucket


@contextmanager
def opened_bucket() -> Iterator[Bucket]:
    """An empty bucket on a server of its own."""
    with object_server() as endpoint:
        yield make_bucket(endpoint)


#: Where a service's files may lie: in its own folder (None), or in a bucket.
PLACES: dict[str, Callable[[], AbstractContextManager[Bucket | None]]] = {
    "folder": nullcontext,
    "object store": opened_bucket,
}
