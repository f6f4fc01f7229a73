"""Servers by TLS, by their sentinels, and those that are refused."""

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError
from support.processes.apart import run_apart
from support.processes.redis_servers import redis_server, sentinel, tls_relay
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import make_classifier

from influence.contracts.common import now
from influence.errors import InvalidRequest
from influence.settings import EXIT_SETTINGS, StorageSettings
from influence.store.connections import (
    Connections,
    StoreError,
    check_servers,
    close_async,
    connect,
    connect_async,
)
from influence.store.queue import Queue
from influence.store.store import Store

WaitUntil = Callable[..., None]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_port(tmp_path: Path, wait_until: WaitUntil, authority: trustme.CA) -> Iterator[int]:
    """A server that asks its clients for a certificate of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with redis_server(tmp_path / "redis", wait_until) as (port, _), tls_relay(port, context) as open_port:
        yield open_port


def make_url(folder: Path, port: int, trusted: trustme.CA, own: trustme.CA | None) -> str:
    """A URL with the authority that the client trusts, and a certificate of its own by another."""
    folder.mkdir(exist_ok=True)
    trusted.cert_pem.write_to_path(folder / "ca.pem")
    url = f"rediss://localhost:{port}/0?ssl_ca_certs={folder / 'ca.pem'}"
    if own is None:
        return url
    certificate = own.issue_cert("worker")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return f"{url}&ssl_certfile={folder / 'cert.pem'}&ssl_keyfile={folder / 'key.pem'}"


def test_a_server_is_reached_by_tls_with_certificates_on_both_sides(
    tmp_path: Path, tls_port: int, authority: trustme.CA
) -> None:
    url = make_url(tmp_path / "client", tls_port, authority, authority)
    connections = connect(StorageSettings(redis_url=url).redis_url)
    queue = Queue(connections.state)
    queue.submit("answer_query", query_id="qry_a", job_id="job_a")
    assert queue.waiting("query") == [("answer_query", {"query_id": "qry_a", "job_id": "job_a"})]

    assert run_apart(_port_of(url)) > 0
    connections.close()


def test_a_server_of_another_authority_is_not_spoken_to(tmp_path: Path, tls_port: int, authority: trustme.CA) -> None:
    connections = connect(make_url(tmp_path / "client", tls_port, trustme.CA(), authority))
    with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
        connections.state.ping()
    with pytest.raises(InvalidRequest, match="DATAINF_REDIS_URL names a server whose certificate is not trusted"):
        check_servers(connections)
    connections.close()


def test_a_client_without_a_certificate_is_turned_away(tmp_path: Path, tls_port: int, authority: trustme.CA) -> None:
    connections = connect(make_url(tmp_path / "client", tls_port, authority, None))
    with pytest.raises(StoreError):
        connections.state.ping()
    connections.close()


def _is_replica_in_step(port: int) -> bool:
    connections = connect(f"redis://127.0.0.1:{port}/0")
    found = connections.state.info("replication")
    connections.close()
    return found.get("master_link_status") == "up"


@contextmanager
def guarded(tmp_path: Path, wait_until: WaitUntil) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A server's process, the port of its replica, which has what it has, and that of the sentinel of both."""
    with redis_server(tmp_path / "one", wait_until) as (port, process):
        replica = ("--replicaof", "127.0.0.1", str(port))
        with (
            redis_server(tmp_path / "other", wait_until, *replica) as (other_port, _),
            sentinel(tmp_path / "sentinel", wait_until, port) as sentinel_port,
        ):
            wait_until(lambda: _is_replica_in_step(other_port), "the replica has what the server has")
            yield process, other_port, sentinel_port


def test_what_was_kept_is_there_after_the_sentinels_chose_another_server(tmp_path: Path, wait_until: WaitUntil) -> None:
    with guarded(tmp_path, wait_until) as (process, other_port, sentinel_port):
        url = f"redis+sentinel://127.0.0.1:{sentinel_port}/mine/0"
        connections = connect(StorageSettings(redis_url=url).redis_url)
        queue, begun = Queue(connections.state), now()
        queue.submit("answer_query", query_id="qry_a", job_id="job_a")
        assert connections.state.wait(1, 60_000) == 1
        watch = connect(f"redis://127.0.0.1:{sentinel_port}")
        wait_until(lambda: watch.state.sentinel_slaves("mine"), "the replica is known")
        process.kill()
        wait_until(lambda: _submits(queue), f"another server takes messages, since {begun}")
        assert [arguments["job_id"] for _, arguments in queue.waiting("query")] == ["job_a", "job_b"]
        assert run_apart(_port_of(url)) == other_port
        watch.close()
        connections.close()


def test_sentinels_and_the_server_that_they_name_are_reached_by_tls(
    tmp_path: Path, wait_until: WaitUntil, authority: trustme.CA
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    for name, trusted in (("ca.pem", authority), ("other.pem", trustme.CA())):
        trusted.cert_pem.write_to_path(tmp_path / name)
    with (
        redis_server(tmp_path / "redis", wait_until) as (port, _),
        # What sentinels say of a server is one address, for them and for clients; ours speak no TLS among themselves.
        tls_relay(port, context, or_plain=True) as open_port,
        sentinel(tmp_path / "sentinel", wait_until, open_port) as plain_port,
        tls_relay(plain_port, context) as sentinel_port,
    ):
        url = f"rediss+sentinel://localhost:{sentinel_port}/mine/0?ssl_ca_certs={tmp_path}"
        connections = connect(StorageSettings(redis_url=f"{url}/ca.pem").redis_url)
        check_servers(connections)
        Queue(connections.state).submit("answer_query", query_id="qry_a", job_id="job_a")
        assert Queue(connections.state).depth("query") == 1
        assert run_apart(_port_of(f"{url}/ca.pem")) == port
        connections.close()
        untrusting = connect(f"{url}/other.pem")
        with pytest.raises(StoreError):
            untrusting.state.ping()
        untrusting.close()


def test_a_worker_goes_on_after_the_sentinels_chose_another_server(tmp_path: Path, wait_until: WaitUntil) -> None:
    with (
        guarded(tmp_path, wait_until) as (process, _, sentinel_port),
        running_worker(f"redis+sentinel://127.0.0.1:{sentinel_port}/mine/0", tmp_path / "data") as worker,
    ):
        store = worker.store
        checkpoint = add_checkpoint(store, worker.files, make_classifier(tmp_path), "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(30), "classification")
        before = submit_index(store, checkpoint, dataset, storage="compact")
        wait_until(lambda: store.jobs.require(before.job_id).is_final, "the index is built")
        store.connections.state.wait(1, 60_000)
        watch = connect(f"redis://127.0.0.1:{sentinel_port}")
        wait_until(lambda: watch.state.sentinel_slaves("mine"), "the replica is known")
        watch.close()
        process.kill()
        wait_until(lambda: _answers(store), "another server answers")
        query = submit_query(store, before.id, examples=make_ticket_rows(1, seed=9))
        wait_until(lambda: store.jobs.require(query.job_id).is_final, "the query is answered")
        assert store.queries.require(query.id).state == "succeeded"


def _answers(store: Store) -> bool:
    try:
        return store.connections.state.set("datainf:probe", 1, px=1) is True
    except StoreError:
        return False


def _submits(queue: Queue) -> bool:
    try:
        queue.submit("answer_query", query_id="qry_b", job_id="job_b")
    except StoreError:
        return False
    return True


async def _port_of(url: str) -> int:
    """The port of the server that an asyncio client finds."""
    client = connect_async(url)
    port = int((await client.info("server"))["tcp_port"])
    await close_async(client)
    return port


@pytest.mark.parametrize(
    "url",
    ["redis+sentinel://127.0.0.1:26379", "redis+sentinel:///mine", "redis+sentinel://127.0.0.1:port/mine"],
)
def test_a_url_of_sentinels_without_server_or_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="URL of the sentinels"):
        connect(url)


def test_a_url_of_another_kind_is_refused_with_the_settings() -> None:
    with pytest.raises(ValidationError, match="begins with redis://, rediss://"):
        StorageSettings(redis_url="http://127.0.0.1:6379")


def test_a_node_of_a_cluster_is_refused_by_name(tmp_path: Path, wait_until: WaitUntil) -> None:
    with redis_server(tmp_path / "node", wait_until, "--cluster-enabled", "yes") as (port, _):
        node, none = f"redis://127.0.0.1:{port}/0", "unix:///nowhere.sock"
        for connections, name in ((connect(node), "DATAINF_REDIS_URL"), (connect(none, node), "DATAINF_CACHE_URL")):
            with pytest.raises(InvalidRequest, match=f"{name} names a node of a Redis Cluster"):
                check_servers(connections)
            connections.close()


@pytest.mark.parametrize("process", ["app", "workers"])
def test_a_process_ends_with_a_sentence_where_its_server_is_none_for_it(
    tmp_path: Path, wait_until: WaitUntil, process: str
) -> None:
    with redis_server(tmp_path / "node", wait_until, "--cluster-enabled", "yes") as (port, _):
        settings = {"DATAINF_REDIS_URL": f"redis://127.0.0.1:{port}/0", "DATAINF_DATA_DIR": str(tmp_path / "data")}
        done = subprocess.run(
            [sys.executable, "-m", process], env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
    assert done.returncode == EXIT_SETTINGS
    assert "names a node of a Redis Cluster" in done.stderr


def test_a_single_server_and_one_that_does_not_answer_are_not_refused(connections: Connections) -> None:
    check_servers(connections)
    check_servers(connect("unix:///nowhere.sock"))
