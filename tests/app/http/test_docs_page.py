"""/docs works without the internet, and nothing but its own script runs there."""

import base64
import hashlib
import re
from collections.abc import Callable

from starlette.testclient import TestClient


def test_everything_that_the_page_names_comes_from_here(client: TestClient) -> None:
    page = client.get("/docs").text
    named = re.findall(r"""(?:href|src)=["']([^"']+)["']|url: ['"]([^'"]+)['"]""", page)
    paths = [first or second for first, second in named]
    assert len(paths) >= 3
    for path in paths:
        assert path.startswith("/")
        assert client.get(path).status_code == 200, path
    assert "http" not in re.sub(r"https?://127\.0\.0\.1\S*", "", page)


def test_only_the_script_in_the_page_and_those_beside_it_may_run(client: TestClient) -> None:
    answer = client.get("/docs")
    policy = answer.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert "default-src 'none'" in policy


def test_the_page_is_open_where_keys_are_set(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_keys=["a-key-of-the-tests-0001"])
    assert client.get("/docs").status_code == 200
    assert client.get("/docs/assets/swagger-ui.css").status_code == 200
    assert client.get("/docs/assets/../core.py").status_code == 404
