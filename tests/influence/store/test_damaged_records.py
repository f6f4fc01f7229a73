"""What cannot be read is passed over in lists, named where it is asked for, and can be deleted."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from support.work import keys_about, lifetime_of, make_work, write_data

from influence.contracts.index import ShardCommit
from influence.contracts.work import INDEX, QUERY, WORK_KINDS, WorkKind
from influence.errors import NotFound, RecordDamaged
from influence.store import keys
from influence.store.queue import _held
from influence.store.store import Store
from influence.store.work import accept, erase, keep, with_job_state

GARBAGE = [b"", b"no JSON", b"[]", b'{"id": 3}', b"\xff\xfe", b'{"state": "running"}']
every_kind = pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)


def damage(store: Store, kind: str, record_id: str, garbage: bytes = b"no JSON") -> None:
    store.connections.state.set(keys.record(kind, record_id), garbage)


@every_kind
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_damaged_record_leaves_the_others_alone(store: Store, kind: WorkKind[Any], garbage: bytes) -> None:
    records = store.work[kind.name]
    made = [keep(store, make_work(kind)) for _ in range(5)]
    for record in made[1:4:2]:
        damage(store, kind.name, record.id, garbage)
    whole = {record.id for record in made[0::2]}
    assert {record.id for record in records.all()} == whole
    first = records.page(limit=2)
    second = records.page(limit=2, after=first.next)
    assert {record.id for record in (*first.data, *second.data)} == whole
    assert (first.has_more, second.has_more) == (True, False)
    assert records.find_whole(made[1].id) is None


@every_kind
def test_it_is_named_where_it_is_asked_for(store: Store, kind: WorkKind[Any]) -> None:
    record = keep(store, make_work(kind))
    damage(store, kind.name, record.id)
    records = store.work[kind.name]
    for ask in (records.find, records.require, lambda name: records.update(name, lambda found: found)):
        with pytest.raises(RecordDamaged, match=record.id) as caught:
            ask(record.id)
    problem = caught.value.problem()
    assert (problem["status"], problem["code"]) == (500, "record_damaged")
    assert "Delete" in problem["hint"]


@every_kind
def test_it_can_be_deleted_with_its_data_and_its_work(store: Store, kind: WorkKind[Any]) -> None:
    record = accept(store, make_work(kind))
    write_data(store, record)
    damage(store, kind.name, record.id)
    erase(store, store.work[kind.name], record.id)
    assert keys_about(store, record.id) == []
    assert store.jobs.state(record.job_id) == "cancelled"
    with pytest.raises(NotFound):
        erase(store, store.work[kind.name], record.id)


def test_the_same_request_takes_the_place_of_a_damaged_record(store: Store) -> None:
    first = accept(store, make_work(INDEX, id="idx_a"))
    damage(store, "index", "idx_a")
    second = accept(store, make_work(INDEX, id="idx_a"))
    assert second.job_id != first.job_id
    assert store.indexes.require("idx_a") == second


def test_the_log_says_so_once(store: Store) -> None:
    record = keep(store, make_work(QUERY))
    damage(store, "query", record.id)
    with capture_logs() as logs:
        for _ in range(3):
            store.queries.all()
            store.queries.page(limit=5)
    assert [(entry["event"], entry["id"]) for entry in logs] == [("a record cannot be read", record.id)]


def test_a_name_in_the_listing_that_is_no_text_leaves_it(store: Store) -> None:
    record = keep(store, make_work(INDEX))
    store.connections.state.zadd(keys.listing("index"), {b"\xff\xff": 1})
    assert store.indexes.all() == [record]
    assert store.connections.state.zcard(keys.listing("index")) == 1
    for name in (keys.listing("job"), keys.open_jobs()):
        store.connections.state.delete(name)
    store.connections.state.zadd(keys.listing("job"), {b"\xff\xff": 1, record.job_id: 2})
    store.connections.state.sadd(keys.open_jobs(), b"\xff:\xff", record.job_id)
    assert [job.id for job in store.jobs.page(limit=5).data] == [record.job_id]
    assert [job.id for job in store.jobs.open()] == [record.job_id]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record", "no JSON"),
        ("record", "[]"),
        ("record", "{}"),
        ("total", "many"),
        ("error", "{"),
        ("started_at", "noon"),
    ],
)
def test_a_damaged_job_leaves_the_others_alone(store: Store, field: str, value: str) -> None:
    bad, good = (keep(store, make_work(QUERY)) for _ in range(2))
    store.connections.state.hset(keys.job(bad.job_id), field, value)
    assert [job.id for job in store.jobs.page(limit=5).data] == [good.job_id]
    assert [job.id for job in store.jobs.open()] == [good.job_id]
    with pytest.raises(RecordDamaged):
        store.jobs.require(bad.job_id)
    shown = with_job_state(store, bad)
    assert (shown.state, shown.error["code"]) == ("failed", "record_damaged")
    assert lifetime_of(store, "job", bad.job_id) is not None
    erase(store, store.queries, bad.id)
    assert [record.id for record in store.queries.all()] == [good.id]


def test_a_commit_that_cannot_be_read_counts_as_lost(store: Store) -> None:
    whole = ShardCommit(shard=0, rows=1, bytes=1, seconds=0.1, chunks=1)
    store.index_data.commit("idx_a", whole)
    for shard, text in (("1", "no JSON"), ("2", "{}"), ("three", whole.model_dump_json())):
        store.connections.state.hset(keys.commits("idx_a"), shard, text)
    assert store.index_data.commits("idx_a") == {0: whole}
    assert not store.index_data.is_committed("idx_a", 1)
    assert store.index_data.count_commits("idx_a") == 1


def test_a_plan_and_results_that_cannot_be_read_count_as_lost(store: Store) -> None:
    data, state = store.evaluation_data, store.connections.state
    state.set(keys.evaluation_plan("eval_a"), "no JSON")
    assert data.plan("eval_a") is None
    assert data.keep_plan("eval_a", [{"number": 1}]) == [{"number": 1}]
    data.keep_result("eval_a", 0, {"square": 0})
    state.hset(keys.evaluation_results("eval_a"), "1", "no JSON")
    state.hset(keys.evaluation_results("eval_a"), "two", "{}")
    assert data.results("eval_a") == {0: {"square": 0}}
    assert data.pieces_done("eval_a") == {0}


@pytest.mark.parametrize("text", ["no JSON", "[]", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_presence_that_cannot_be_read_hides_no_other_worker(store: Store, text: Any) -> None:
    store.workers.announce("good", {"name": "good"})
    store.workers.announce("bad", {"name": "bad"})
    store.connections.state.set(keys.worker("bad"), text, ex=10)
    assert store.workers.alive() == [{"name": "good"}]


def test_an_answer_that_cannot_be_read_is_made_again(store: Store) -> None:
    assert store.idempotency.begin("digest") is True
    store.connections.state.set(keys.idempotency("digest"), "no JSON")
    assert store.idempotency.begin("digest") is True
    assert store.idempotency.begin("digest") is False  # the one that makes it again is at it


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON",
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"actor_name": "answer_query"}',
        b'{"queue_name":"query","actor_name":3,"args":[],"kwargs":{},"options":{},"message_id":"a","message_timestamp":1}',
        b'{"queue_name":"query","actor_name":"a","args":[],"kwargs":[],"options":{},"message_id":"a","message_timestamp":1}',
    ],
)
def test_a_message_that_cannot_be_read_goes_to_the_dead_letters(store: Store, text: bytes) -> None:
    state = store.connections.state
    store.queue.submit("answer_query", query_id="qry_a")
    state.hset("datainf-queue:query.msgs", "bad", text)
    state.rpush("datainf-queue:query", "bad")
    state.hset("datainf-queue:query.DQ.msgs", "late", text)
    for _ in range(2):
        assert store.queue.waiting("query") == [("answer_query", {"query_id": "qry_a"})]
    assert state.hgetall("datainf-queue:query.XQ.msgs") == {b"bad": text, b"late": text}
    assert state.llen("datainf-queue:query") == 1
    assert store.queue.depth("query") == 1


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"7 x", b"7", b"\xff 2"])
def test_notes_of_who_holds_a_part_that_are_none_are_passed_over(store: Store, garbage: bytes) -> None:
    store.scans.keep_holders("idx_a.job_a", 7, {0: "w_a", 1: "w_b"})
    state: Any = store.connections.state
    state.hset(keys.holders("idx_a.job_a"), garbage, b"w_c")
    state.hset(keys.holders("idx_a.job_a"), b"7 3", b"\xff\xfe")
    found = store.scans.holders("idx_a.job_a", 7)
    assert (found[0], found[1]) == ("w_a", "w_b")
    assert set(found) == {0, 1, 3}


def test_names_of_messages_that_are_no_text_end_no_thread(store: Store) -> None:
    part = "build"
    store.connections.state.sadd(_held("broker_a", part), b"\xff\xfe", b"m_a")
    assert "m_a" in store.queue.held("broker_a", "build")[part]
