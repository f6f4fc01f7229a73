"""Places where files are kept: a real S3 server, and a folder that machines share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes.object_store import Bucket, make_bucket, object_server

from influence.store.data.vault.object_store import ObjectVault


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with object_server() as found:
        yield found


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    return make_bucket(endpoint)


@pytest.fixture(params=["s3", "folder"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectVault:
    """Every kind of store behaves alike."""
    if request.param == "folder":
        return ObjectVault(f"file://{tmp_path / 'shared'}")
    return ObjectVault(request.getfixturevalue("bucket").url)
