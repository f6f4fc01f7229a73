"""`datainf keys`: made and shown once, listed without their secret, revoked at once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from influence.store.access.api_keys import ApiKeys
from influence.store.access.secret import read_secret
from influence.store.store import Store

Run = Callable[..., Result]


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    """The command, beside a store of its own."""

    def invoke(*arguments: str, **settings: str) -> Result:
        environment = {"DATAINF_REDIS_URL": store.connections.state_url, "DATAINF_DATA_DIR": str(tmp_path), **settings}
        return CliRunner().invoke(app, ["keys", *arguments], env=environment)

    return invoke


@pytest.fixture
def keys(store: Store, tmp_path: Path) -> ApiKeys:
    return ApiKeys(store.connections.state, lambda: read_secret(tmp_path))


def test_a_key_is_made_shown_once_and_revoked(run: Run, keys: ApiKeys) -> None:
    made = run("create", "--name", "ann", "--scope", "read", "--namespace", "team-a", "--days", "90", "--json")
    assert made.exit_code == 0, made.output
    shown = json.loads(made.stdout)
    found = keys.find(shown["key"])
    assert found is not None
    assert (found.id, found.name, found.scope, found.namespace) == (shown["id"], "ann", "read", "team-a")
    assert found.expires_at is not None
    listed = run("list")
    assert shown["id"] in listed.stdout
    secret = shown["key"].partition(f"{shown['id'].removeprefix('key_')}_")[2]  # may hold further underscores
    assert len(secret) > 20
    assert secret not in listed.stdout
    assert run("revoke", shown["id"]).exit_code == 0
    assert keys.find(shown["key"]) is None
    assert json.loads(run("list", "--json").stdout)["data"][0]["revoked_at"]


def test_only_the_key_stands_on_stdout(run: Run, keys: ApiKeys) -> None:
    made = run("create", "--name", "ann")
    assert keys.find(made.stdout.strip()) is not None
    assert "not shown again" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "--name", "a", "--scope", "all"), "no scope"),
        (("create", "--name", "a", "--namespace", "Team A"), "no namespace"),
        (("revoke", "key_01J9"), "no key"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], told: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert told in refused.stderr


def test_a_store_that_is_not_there_is_said_with_what_to_do(run: Run) -> None:
    refused = run("list", DATAINF_REDIS_URL="unix:///nowhere/redis.sock")
    assert refused.exit_code == 1
    assert "DATAINF_REDIS_URL" in refused.stderr
