"""Webhooks from Python and from a terminal, on the real application."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.processes.terminal import assert_harmless
from typer.testing import CliRunner, Result

from cli.main import app
from datainf_client import Client, ServiceError
from influence.contracts.common import now
from influence.contracts.curation.webhook import Delivery
from influence.store.store import Store

URL = "https://hooks.example/datainf"
HOSTILE = "\x1b[2J[red]boo[/red]\u202e"


@pytest.fixture
def datainf(url: str) -> Iterator[Callable[..., Result]]:
    """Calls of `datainf`."""

    def run(*words: str) -> Result:
        environment = {"DATAINF_URL": url, "COLUMNS": "200", "DATAINF_API_KEY": None}
        return CliRunner().invoke(app, list(words), env=environment)

    with capture_logs():  # the service in this process would write among the words of the command
        yield run


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fail_once(store: Store, event_id: str) -> None:
    """As a worker does that is answered 500."""
    (turn,) = store.webhook_data.take_turns(5, 60)
    assert turn.event.id == event_id
    known: Any = {"event_id": event_id, "type": turn.event.type, "attempt": 1, "at": now(), "delivered": False}
    store.webhook_data.settle(turn, Delivery(**known, status=500, error=f"Answered 500. {HOSTILE}", next_at=now()))


def test_from_python(client: Client, store: Store) -> None:
    webhook = client.webhooks.create(URL, events=["job.failed"], name="ours")
    assert (webhook.secret or "").startswith("whsec_")
    fail_once(store, webhook.test())
    webhook.refresh()
    assert (webhook.secret, webhook.waiting) == (None, 1)
    assert [one.status for one in webhook.deliveries or ()] == [500]
    assert [one.id for one in client.webhooks] == [webhook.id]
    webhook.delete()
    assert list(client.webhooks.list(name="ours")) == []
    with pytest.raises(ServiceError, match="not a public address"):
        client.webhooks.create("http://127.0.0.1:1/")


def test_from_a_terminal(datainf: Callable[..., Result], store: Store) -> None:
    made = read(
        datainf("webhook", "add", URL, "--event", "job.failed", "--event", "job.cancelled", "--name", HOSTILE, "--json")
    )
    assert made["events"] == ["job.failed", "job.cancelled"]
    fail_once(store, read(datainf("webhook", "test", made["id"], "--json"))["event_id"])
    shown = datainf("webhook", "show", made["id"])
    assert_harmless(shown.stdout)
    assert "Answered 500." in shown.stdout
    assert made["secret"] not in shown.stdout
    assert made["secret"] not in datainf("list", "webhooks").stdout
    assert [one["id"] for one in read(datainf("list", "webhooks", "--json"))["data"]] == [made["id"]]
    other = datainf("webhook", "add", URL)
    assert "whsec_" in other.stdout
    assert read(datainf("delete", made["id"], "--yes", "--json"))["removed"] == [made["id"]]


def test_what_is_no_event_is_named(datainf: Callable[..., Result]) -> None:
    result = datainf("webhook", "add", URL, "--event", "job.begun")
    assert result.exit_code == 1
    assert "job.succeeded" in result.stderr
