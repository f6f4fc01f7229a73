"""An application that asks for keys, and keys of two namespaces."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api import Headers, MakeKey

from influence.store.access.api_keys import ApiKeys
from influence.store.access.key import Scope
from influence.store.access.secret import read_secret
from influence.store.data.files import Files
from influence.store.store import Store


@pytest.fixture
def keys(store: Store, files: Files) -> ApiKeys:
    return ApiKeys(store.connections.state, partial(read_secret, files.root))


@pytest.fixture
def make_key(keys: ApiKeys) -> MakeKey:
    """Headers with a new key."""

    def make(scope: Scope = "write", namespace: str = "default", **options: Any) -> Headers:
        return {"Authorization": f"Bearer {keys.create('a test', scope, namespace=namespace, **options)[1]}"}

    return make


@pytest.fixture
def guarded(make_client: Callable[..., TestClient]) -> TestClient:
    """An application that lets nobody in without a key."""
    return make_client(require_keys=True)
