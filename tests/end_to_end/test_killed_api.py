"""Decisions survive an API that is killed at any moment: none is lost, none is made twice."""

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
from support.api import running_api

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

#: Kills of a usual run; `make test-kills` asks for a hundred.
KILLS = int(os.environ.get("DATAINF_TESTS_KILLS", "3"))
ROWS = 20_000
#: The longest that an API serves before it is killed.
_LIFE_SECONDS = 0.25
WaitUntil = Callable[..., None]


class Reviewer:
    """Decides row by row, one at a time, and tries again what was not acknowledged: with the version that it knew."""

    def __init__(self, review_id: str) -> None:
        self.path = f"/v1/reviews/{review_id}/decisions"
        self.acknowledged: list[int] = []
        self.version = 0
        self.is_unsure = False

    def has_more_than(self, count: int) -> bool:
        return len(self.acknowledged) > count

    def work(self, url: str, stop: Event) -> None:
        """Until the API is gone."""
        with httpx.Client(base_url=url, timeout=300) as client:
            while not stop.is_set():
                try:
                    self._decide(client)
                except httpx.TransportError:
                    self.is_unsure = True
                    return

    def _decide(self, client: httpx.Client) -> None:
        row = len(self.acknowledged)
        body = {"decisions": [{"row_index": row, "action": "remove", "note": f"row {row}"}], "by": "ada"}
        answer = client.patch(self.path, json=body, headers={"If-Match": f'"{self.version}"'}).raise_for_status()
        found = answer.json()
        # What went through although nobody heard of it is a conflict with oneself when it is sent again.
        assert found["applied"] == 1 or self.is_unsure, found
        self.is_unsure = False
        self.version = found["version"]
        self.acknowledged.append(row)


def test_decisions_survive_kills_of_the_api(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: WaitUntil
) -> None:
    rng = random.Random(int(os.environ.get("DATAINF_TESTS_SEED", "0")))
    reviewer: Reviewer | None = None
    for _ in range(KILLS):
        with running_api(tmp_path, wait_until, redis_url=server.url) as api:
            reviewer = reviewer or Reviewer(begin_review(api.url))
            stop = Event()
            writing = Thread(target=reviewer.work, args=(api.url, stop))
            writing.start()
            wait_until(partial(reviewer.has_more_than, len(reviewer.acknowledged)), "a decision is taken")
            stop.wait(rng.uniform(0, _LIFE_SECONDS))
            api.process.kill()
            writing.join()
    assert reviewer is not None
    with running_api(tmp_path, wait_until, redis_url=server.url) as api:
        check_all_are_there_once(api.url, reviewer)


def begin_review(url: str) -> str:
    lines = "\n".join(f'{{"text": "row {row}", "label": "{"ab"[row % 2]}"}}' for row in range(ROWS))
    with httpx.Client(base_url=url, timeout=300) as client:
        files = {"file": ("rows.jsonl", lines.encode())}
        dataset = client.post("/v1/datasets", files=files).raise_for_status().json()
        made = client.post("/v1/reviews", json={"dataset_id": dataset["id"]}).raise_for_status().json()
    return str(made["id"])


def check_all_are_there_once(url: str, reviewer: Reviewer) -> None:
    review = reviewer.path.removesuffix("/decisions")
    with httpx.Client(base_url=url, timeout=300) as client:
        known = set(pages(client, reviewer.path, "row_index"))
        changes = pages(client, f"{review}/history", "rows")
        progress: dict[str, Any] = client.get(review).raise_for_status().json()["progress"]
    lost = set(reviewer.acknowledged) - known
    assert not lost, f"{len(lost)} decisions were acknowledged and are gone: {sorted(lost)[:5]}"
    # The last one may have gone through without being acknowledged; no other may.
    assert known <= set(range(len(reviewer.acknowledged) + 1))
    assert changes == [1] * len(known), "every decision is one change, made once"
    assert progress["decided"] == progress["remove"] == len(known)


def pages(client: httpx.Client, path: str, field: str) -> list[int]:
    """A field of everything in a list."""
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        page = client.get(path, params={"limit": 200, "after": after}).raise_for_status().json()
        found += [one[field] for one in page["data"]]
        after = page["next"]
    return found
