"""The deployment's own server configuration, on a real server: what each user may do, and what nobody may."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.work import make_work, write_data

from influence.contracts.work import QUEUES, WORK_KINDS, WorkKind
from influence.store import keys, work
from influence.store.access.api_keys import ApiKeys
from influence.store.connections import connect
from influence.store.embedded import find_server
from influence.store.ending.sweeping import remove_ended
from influence.store.queue import make_broker
from influence.store.store import Store

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "redis"
API_PASSWORD, WORKER_PASSWORD = "a" * 32, "b" * 32


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, *arguments: str, **passwords: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "REDIS_CONFIG_DIR": str(FOLDER),
        "REDIS_ACL_FILE": str(folder / "users.acl"),
        "REDIS_DATA_DIR": str(folder),
        "REDIS_SERVER": str(find_server()),
        **passwords,
    }
    return subprocess.Popen(
        ["sh", str(FOLDER / "start.sh"), *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server started by the deployment's own script."""
    folder, number = tmp_path_factory.mktemp("deployed"), free_port()
    process = start(
        folder,
        "--port",
        str(number),
        "--bind",
        "127.0.0.1",
        REDIS_API_PASSWORD=API_PASSWORD,
        REDIS_WORKER_PASSWORD=WORKER_PASSWORD,
    )
    assert process.stdout is not None
    assert any(b"Ready to accept connections" in line for line in process.stdout), "the server did not start"
    with process.stdout as output:
        yield number
        process.terminate()
        output.read()
    assert process.wait(300) == 0


def url_of(role: str, port: int) -> str:
    return f"redis://datainf-{role}:{API_PASSWORD if role == 'api' else WORKER_PASSWORD}@127.0.0.1:{port}/0"


@pytest.fixture
def client_of(port: int) -> Iterator[Callable[[str], redis.Redis]]:
    """Clients by role, closed afterwards."""
    made: list[redis.Redis] = []

    def make(role: str) -> redis.Redis:
        made.append(redis.Redis.from_url(url_of(role, port)))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_store_works_as_the_api_and_the_worker_reads_what_it_wrote(port: int) -> None:
    api, worker = connect(url_of("api", port)), connect(url_of("worker", port))
    writer, reader = Store(api), Store(worker)
    writer.ping()
    job = writer.jobs.create("job_1", "query", "qry_1", "/v1/queries/qry_1")
    assert reader.jobs.start(job.id)
    assert writer.jobs.require(job.id).state == "running"
    reader.workers.announce("here-0", {"name": "here-0"})
    assert writer.workers.alive() == [{"name": "here-0"}]
    assert writer.is_durable_safe()
    api.close()
    worker.close()


def test_message_of_the_api_reaches_a_worker_and_is_acknowledged(port: int) -> None:
    api, worker = connect(url_of("api", port)), connect(url_of("worker", port))
    Store(api).queue.submit("answer_query", query_id="qry_9")
    broker: RedisBroker = make_broker(worker.state, middleware=[])
    seen: list[str] = []
    actor: Any = dramatiq.actor
    actor(seen.append, actor_name="answer_query", queue_name="query", broker=broker)
    consumer = broker.consume("query", prefetch=1, timeout=100)
    taken = []
    while (message := next(consumer)) is not None:  # others of this file may have left messages
        taken.append(message.kwargs)
        consumer.ack(message)
    assert {"query_id": "qry_9"} in taken
    assert Store(api).queue.depth("query") == 0
    api.close()
    worker.close()


@pytest.mark.parametrize("role", ["api", "worker"])
@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG SET maxmemory-policy allkeys-lru",
        "CONFIG REWRITE",
        "SHUTDOWN NOSAVE",
        "ACL LIST",
        "MODULE LIST",
        "REPLICAOF NO ONE",
        "MONITOR",
        "SAVE",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "CLIENT KILL TYPE normal",
        "SWAPDB 0 1",
        "SET elsewhere 1",
        "GET elsewhere",
        "SUBSCRIBE elsewhere",
        "MIGRATE 127.0.0.1 1 datainf:x 0 1",
        "SORT datainf:x",
        "BLPOP datainf:x 1",
        "XADD datainf:x * a 1",
        "GEOADD datainf:x 1 1 a",
        "PFADD datainf:x a",
        "SETBIT datainf:x 1 1",
    ],
)
def test_user_may_not(client_of: Callable[[str], Any], role: str, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        client_of(role).execute_command(*command.split(" "))


def test_script_reaches_no_key_outside_the_project(client_of: Callable[[str], redis.Redis]) -> None:
    with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)acl failure|noperm|permission"):
        client_of("worker").eval("return redis.call('set', 'elsewhere', '1')", 0)


@pytest.mark.parametrize("sent", [{}, {"username": "datainf-api", "password": WORKER_PASSWORD}])
def test_nobody_gets_in_without_the_right_password(port: int, sent: dict[str, Any]) -> None:
    with (
        redis.Redis(port=port, retry=Retry(NoBackoff(), 0), **sent) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()


def test_health_user_may_only_ping(port: int) -> None:
    with redis.Redis(port=port, username="health", password="none") as client:
        assert client.execute_command("PING")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get(keys.worker("x"))


def test_settings_keep_what_must_not_be_lost(client_of: Callable[[str], redis.Redis]) -> None:
    read = client_of("api").config_get("append*", "maxmemory-policy")
    assert read["appendonly"] == "yes"
    assert read["appendfsync"] == "everysec"
    assert read["maxmemory-policy"] == "volatile-lru"


def test_short_password_is_refused_before_anything_starts(tmp_path: Path) -> None:
    process = start(tmp_path, REDIS_API_PASSWORD="short", REDIS_WORKER_PASSWORD=WORKER_PASSWORD)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert b"REDIS_API_PASSWORD must be set" in output
    assert not (tmp_path / "users.acl").exists()


def test_worker_is_healthy_only_while_one_of_its_name_is_alive(port: int) -> None:
    def check() -> int:
        environment = {**os.environ, "DATAINF_REDIS_URL": url_of("worker", port), "DATAINF_WORKER_NAME": "container-7"}
        return subprocess.run([sys.executable, str(FOLDER.parent / "worker_health.py")], env=environment).returncode

    worker = connect(url_of("worker", port))
    workers = Store(worker).workers
    assert check() == 1
    workers.announce("container-7-0", {"name": "container-7-0"})
    assert check() == 0
    workers.withdraw("container-7-0")
    assert check() == 1
    worker.close()


@pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)
def test_all_that_becomes_of_work_is_allowed(port: int, kind: WorkKind[Any]) -> None:
    api, worker = connect(url_of("api", port)), connect(url_of("worker", port))
    store, other = Store(api), Store(worker)
    store.idempotency.begin(f"key-{kind.name}")
    made = work.accept(store.within("team-a"), make_work(kind))
    other.jobs.start(made.job_id)
    other.jobs.set_phase(made.job_id, "gradients", total=3)
    other.jobs.set_done(made.job_id, 1, shard=0)
    other.jobs.pause(made.job_id)
    other.jobs.resume(made.job_id)
    other.jobs.attempts.count(made.job_id, 0)
    other.jobs.attempts.forget(made.job_id, 0)
    write_data(other, made)
    assert other.jobs.require(made.job_id).state == "running"
    work.finish(other, made, lambda current: current)
    assert store.within("team-a").work[kind.name].page(limit=5).data
    assert store.jobs.page(limit=5).data
    remove_ended(other, now=0.0)
    work.erase(store, store.work[kind.name], made.id)
    store.jobs.delete(made.job_id)
    assert store.jobs.count_by_state() is not None
    for queue in QUEUES:
        store.queue.waiting(queue)
    api.close()
    worker.close()


def test_keys_are_made_and_found_under_the_users_of_the_deployment(port: int) -> None:
    api = connect(url_of("api", port))
    known = ApiKeys(api.state, lambda: bytes(32))
    made, text = known.create("a test", "read")
    assert known.find(text) == made
    assert known.revoke(made.id).revoked_at is not None
    assert known.exist()
    api.close()
