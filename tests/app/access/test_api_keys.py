"""Keys: what they open, how they end, and how they are kept."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api import MakeKey
from support.problems import assert_problem

from app.settings import ApiSettings
from influence.errors import NotFound
from influence.store.access.api_keys import ApiKeys
from influence.store.data.files import Files
from influence.store.store import Store

PLAIN = "a-key-of-the-settings-0001"


def test_a_key_opens_until_it_is_revoked(guarded: TestClient, keys: ApiKeys) -> None:
    made, text = keys.create("a test", "read")
    headers = {"Authorization": f"Bearer {text}"}
    assert guarded.get("/v1/jobs", headers=headers).status_code == 200
    keys.revoke(made.id)
    assert_problem(guarded.get("/v1/jobs", headers=headers), 401, "unauthorised")
    first = keys.revoke(made.id)
    assert keys.revoke(made.id) == first, "the first moment counts"


def test_a_key_opens_until_it_expires(guarded: TestClient, keys: ApiKeys, make_key: MakeKey, store: Store) -> None:
    made, text = keys.create("a test", "read", lifetime_days=1)
    headers = {"Authorization": f"Bearer {text}"}
    assert guarded.get("/v1/jobs", headers=headers).status_code == 200
    name = f"datainf:key:{made.id}"
    past = made.model_copy(update={"expires_at": made.created_at})
    store.connections.state.set(name, past.model_dump_json())
    assert_problem(guarded.get("/v1/jobs", headers=headers), 401, "unauthorised")


@pytest.mark.parametrize("change", [lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), lambda text: text[:-1]])
def test_another_secret_opens_nothing(guarded: TestClient, keys: ApiKeys, change: Callable[[str], str]) -> None:
    _, text = keys.create("a test", "admin")
    headers = {"Authorization": f"Bearer {change(text)}"}
    assert_problem(guarded.get("/v1/jobs", headers=headers), 401, "unauthorised")


def test_redis_holds_no_key_and_no_hash_that_can_be_made_without_the_data_directory(
    keys: ApiKeys, store: Store, files: Files
) -> None:
    made, text = keys.create("a test", "admin")
    state = store.connections.state
    stored = repr([state.get(name) for name in state.scan_iter(match="datainf:key:*")])
    assert "digest" in stored
    assert text.partition(f"{made.id.removeprefix('key_')}_")[2] not in stored
    secret = files.root / "keys.secret"
    assert (secret.stat().st_mode & 0o777, len(secret.read_bytes())) == (0o600, 32)
    assert secret.read_bytes().hex() not in stored
    secret.write_bytes(bytes(32))
    assert keys.find(text) is None, f"{made.id} depends on the secret"


@pytest.mark.parametrize(("scope", "may_write"), [("read", False), ("write", True), ("admin", True)])
def test_a_scope_is_held_to(guarded: TestClient, make_key: MakeKey, scope: Any, may_write: bool) -> None:
    headers = make_key(scope)
    assert guarded.get("/v1/datasets", headers=headers).status_code == 200
    files = {"file": ("rows.jsonl", '{"text": "a"}\n')}
    answer = guarded.post("/v1/datasets", files=files, headers=headers)
    if may_write:
        assert answer.status_code == 201
    else:
        assert "write" in assert_problem(answer, 403, "forbidden")["detail"]


def test_without_a_key_nobody_is_let_in_once_one_was_made(client: TestClient, make_key: MakeKey) -> None:
    assert client.get("/v1/jobs").status_code == 200
    headers = make_key("read")
    assert_problem(client.get("/v1/jobs"), 401, "unauthorised")
    assert_problem(client.get("/metrics"), 401, "unauthorised")
    assert client.get("/v1/jobs", headers=headers).status_code == 200
    assert client.get("/health/live").status_code == 200


def test_keys_of_the_settings_stay_administrators(make_client: Callable[..., TestClient], make_key: MakeKey) -> None:
    both = make_client(api_keys=[PLAIN])
    made = both.post(
        "/v1/datasets", files={"file": ("a.jsonl", '{"text": "a"}\n')}, headers=make_key("write", "team-a")
    )
    path = f"/v1/datasets/{made.json()['id']}"
    assert both.get(path, headers={"Authorization": f"Bearer {PLAIN}"}).json()["namespace"] == "team-a"


def test_what_is_no_key_or_no_namespace_is_refused(keys: ApiKeys) -> None:
    with pytest.raises(NotFound):
        keys.revoke("idx_1")
    with pytest.raises(NotFound):
        keys.revoke("key_01J9")
    for namespace in ("", "A", "a b", "a@b", "-a", "a" * 64):
        with pytest.raises(ValueError, match="namespace"):
            keys.create("a test", "read", namespace=namespace)


def test_to_listen_to_others_it_is_enough_to_require_keys() -> None:
    assert ApiSettings(host="0.0.0.0", require_keys=True).has_keys


def test_wrong_keys_without_end_are_told_to_wait(guarded: TestClient) -> None:
    answers = [guarded.get("/v1/jobs", headers={"Authorization": f"Bearer wrong-{n}"}) for n in range(40)]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert int(answers[-1].headers["retry-after"]) > 0
