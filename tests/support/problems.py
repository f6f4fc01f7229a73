"""Expectations about problem+json answers."""

from typing import Any


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """An answer is a problem of this kind with a hint and a request id; answers its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert all(body[name] for name in ("type", "title", "detail", "hint", "request_id"))
    assert body["request_id"] == answer.headers["x-request-id"]
    return body
