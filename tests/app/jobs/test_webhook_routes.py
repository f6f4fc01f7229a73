"""/v1/webhooks"""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.jobs.webhooks.submit import MAX_WEBHOOKS
from influence.store import keys
from influence.store.store import Store

URL = "https://hooks.example/datainf"


def register(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/webhooks", json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_secret_is_shown_to_whoever_registers_and_never_again(client: TestClient) -> None:
    made = register(client, name="ours", events=["job.failed", "job.failed"])
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["job.failed"]
    read = client.get(f"/v1/webhooks/{made['id']}").json()
    assert (read["url"], read["waiting"], read["deliveries"]) == (URL, 0, [])
    listed = client.get("/v1/webhooks", params={"name": "OUR"}).json()["data"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert made["secret"] not in str((read, listed))
    assert register(client)["secret"] != made["secret"]


def test_the_same_request_sent_again_is_the_same_webhook(client: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = (client.post("/v1/webhooks", json={"url": URL}, headers=headers).json() for _ in range(2))
    assert (first["id"], first["secret"]) == (second["id"], second["secret"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "http://127.0.0.1:8321/"},
        {"url": "http://169.254.169.254/"},
        {"url": "http://localhost/"},
        {"url": "ftp://hooks.example/"},
        {"url": "https://" + "a" * 2000},
        {"url": URL, "events": []},
        {"url": URL, "events": ["job.begun"]},
        {"url": URL, "secret": "mine"},
    ],
)
def test_what_could_never_be_told_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/v1/webhooks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_private_addresses_are_taken_where_a_setting_says_so(make_client: Callable[..., TestClient]) -> None:
    register(make_client(webhook_private_addresses=True), url="http://127.0.0.1:1/")


def test_a_namespace_has_so_many_webhooks_and_no_more(client: TestClient) -> None:
    for _ in range(MAX_WEBHOOKS):
        register(client)
    answer = client.post("/v1/webhooks", json={"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_test_waits_to_be_sent_before_all_else(client: TestClient, store: Store) -> None:
    made = register(client)
    answer = client.post(f"/v1/webhooks/{made['id']}/test")
    assert answer.status_code == 202
    assert client.get(f"/v1/webhooks/{made['id']}").json()["waiting"] == 1
    (turn,) = store.webhook_data.take_turns(5, 60)
    assert (turn.event.id, turn.event.type) == (answer.json()["event_id"], "webhook.test")


def test_a_deleted_webhook_leaves_nothing(client: TestClient, store: Store) -> None:
    made = register(client)
    client.post(f"/v1/webhooks/{made['id']}/test")
    assert client.delete(f"/v1/webhooks/{made['id']}").status_code == 204
    assert client.get(f"/v1/webhooks/{made['id']}").status_code == 404
    assert [name for name in store.connections.state.scan_iter() if b"hook" in name] == []
    assert client.delete(f"/v1/webhooks/{made['id']}").status_code == 404


def test_events_are_kept_only_where_somebody_hears_them(client: TestClient, store: Store) -> None:
    for name in ("job_1", "job_2"):
        store.jobs.create(name, "index", "idx_1", "/v1/indexes/idx_1")
    store.jobs.cancel("job_1")
    assert store.webhook_data.events(10) == []
    register(client)
    store.jobs.cancel("job_2")
    assert len(store.webhook_data.events(10)) == 1
    store.connections.state.delete(keys.webhook_events())
