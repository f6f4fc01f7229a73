"""Calls of a review."""

from typing import Any

from starlette.testclient import TestClient


class Reviewing:
    """Calls of one review, each checked to succeed."""

    def __init__(self, client: TestClient, review_id: str) -> None:
        self.client = client
        self.path = f"/v1/reviews/{review_id}"

    def decide(self, *decisions: dict[str, Any], version: int | None = None, **body: Any) -> dict[str, Any]:
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        answer = self.client.patch(f"{self.path}/decisions", json={"decisions": decisions, **body}, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, name: str, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"{self.path}/{name}", json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def decisions(self) -> dict[int, str]:
        """Row index -> action."""
        data = self.client.get(f"{self.path}/decisions").json()["data"]
        return {one["row_index"]: one["action"] for one in data}

    def progress(self) -> dict[str, Any]:
        return dict(self.client.get(self.path).json()["progress"])
