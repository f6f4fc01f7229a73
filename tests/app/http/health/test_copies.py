"""What an API process copies by itself: records that have no copy, and decisions of reviews."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from support.api import LocalClient
from support.processes.apart import run_apart
from support.uploads.local_service import taken, to_jsonl

from app.http.context import Context
from app.http.serving.copies import look_after_copies
from app.main import app_from
from app.settings import ApiSettings
from influence.store.store import Store

ROWS = [{"text": f"text {row}", "label": "ab"[row % 2]} for row in range(8)]


@pytest.fixture
def settings(store: Store, tmp_path: Path) -> ApiSettings:
    return ApiSettings(redis_url=store.connections.state_url, data_dir=tmp_path / "data", hub_offline=True)


def test_what_has_no_copy_is_copied_when_an_api_starts(settings: ApiSettings, wait_until: Callable[..., None]) -> None:
    with LocalClient(app_from(settings)) as client:
        dataset = taken(client.post("/v1/datasets", files={"file": ("rows.jsonl", to_jsonl(ROWS))}))
        context = cast("Context", client.app.state.context)  # type: ignore[attr-defined]
        copies = context.files.records
        assert list(copies.ids("dataset")) == [dataset["id"]]
        copies.remove("dataset", dataset["id"])  # as of an earlier version
    with LocalClient(app_from(settings)):
        wait_until(lambda: list(copies.ids("dataset")) == [dataset["id"]], "the record has a copy")


def test_decisions_are_copied_while_an_api_runs(settings: ApiSettings) -> None:
    with LocalClient(app_from(settings)) as client:
        dataset = taken(client.post("/v1/datasets", files={"file": ("rows.jsonl", to_jsonl(ROWS))}))
        review = taken(client.post("/v1/reviews", json={"dataset_id": dataset["id"]}))
        context = cast("Context", client.app.state.context)  # type: ignore[attr-defined]
        decisions = context.store.review_data.copies
        assert decisions is not None
        change = {"decisions": [{"row_index": 1, "action": "keep"}]}
        taken(client.patch(f"/v1/reviews/{review['id']}/decisions", json=change))

        async def look() -> None:
            task = asyncio.create_task(look_after_copies(context, pause_seconds=0.01))
            while not decisions.read(review["id"]):
                await asyncio.sleep(0.01)
            task.cancel()

        run_apart(look())
        assert b'"keep"' in (decisions.read(review["id"]) or b"")
        client.delete(f"/v1/reviews/{review['id']}")
        assert decisions.read(review["id"]) is None
        assert client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
        assert list(context.files.records.ids("dataset")) == []
