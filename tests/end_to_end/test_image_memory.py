"""The API holds little memory whatever images it is sent, and however many at once."""

import io
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import httpx
import pytest
from PIL import Image
from support.api import ApiProcess, running_api
from support.uploads.hostile_images import bombs, lies, modes
from support.uploads.images import file_bytes

from influence.store.store import Store

#: How much more the process may take than before its first image.
MOST_BYTES = 200 << 20
AT_ONCE = 4
SECONDS = 300.0


def peak_bytes(api: ApiProcess) -> int:
    """The most that a process has held in memory so far."""
    lines = Path(f"/proc/{api.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) << 10


def largest_images() -> list[bytes]:
    """Images of each compression, as large as is taken."""
    return [
        file_bytes(Image.new("RGBA", (5000, 4200), (1, 2, 3, 4)), "PNG", compress_level=1),
        file_bytes(Image.new("RGB", (6000, 4000), (90, 20, 30)), "JPEG"),
        file_bytes(Image.new("CMYK", (5000, 4200), (90, 20, 30, 4)), "JPEG"),
        file_bytes(Image.new("RGB", (4500, 3100), (90, 20, 30)), "JPEG", progressive=True, subsampling=0),
        file_bytes(Image.new("RGB", (3500, 3000), (90, 20, 30)), "WEBP", lossless=True, quality=0, method=0),
    ]


def zipped(content: bytes) -> bytes:

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/1.png", content)
    return packed.getvalue()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peaks of memory are read from /proc")
def test_the_api_holds_little_memory_whatever_images_come(
    tmp_path: Path, store: Store, wait_until: Callable[..., None]
) -> None:
    with running_api(tmp_path, wait_until, redis_url=store.connections.state_url) as api:

        def send(content: bytes) -> httpx.Response:
            files = {"file": ("a.zip", content)}
            return httpx.post(f"{api.url}/v1/datasets", files=files, timeout=SECONDS)

        # What reading any table takes, such as loading pyarrow, is there before.
        first = httpx.post(f"{api.url}/v1/datasets", files={"file": ("a.jsonl", b'{"text": "a"}\n')}, timeout=SECONDS)
        assert first.status_code == 201
        before = peak_bytes(api)
        hostile = [zipped(one.content) for one in chain(bombs(), lies(), modes())]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            codes = {answer.status_code for answer in pool.map(send, hostile)}
            assert codes <= {200, 201, 422}
            largest = [zipped(one) for one in largest_images()]
            answers = list(pool.map(send, largest * 2))
            assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text[:300] for answer in answers]
            paths = [f"{api.url}/v1/datasets/{answer.json()['id']}/rows/0/image" for answer in answers]
            shown = list(pool.map(lambda path: httpx.get(path, timeout=SECONDS).status_code, paths))
        assert set(shown) == {200}
        grown = peak_bytes(api) - before
        print(f"grown by {grown / 2**20:.0f} MiB over {before / 2**20:.0f} MiB")
        assert grown < MOST_BYTES, f"{grown / 2**20:.0f} MiB"
