"""Messages of work that is done in slices: one stands for what is left, however often one was delivered."""

from dramatiq import MessageProxy

from influence.contracts.work import QueueName
from influence.store.queue import make_broker
from influence.store.store import Store

MESSAGE = ("audit_index", {"audit_id": "aud_a"})


def take(store: Store, worker: str, queue: QueueName = "query") -> MessageProxy:
    """A worker fetches the next message and works on it."""
    broker = make_broker(store.connections.state, queues=(queue,))
    broker.broker_id = worker
    message = next(broker.consume(queue))
    assert message is not None
    return message


def test_the_next_slice_waits_behind_those_who_came_meanwhile(store: Store) -> None:
    store.queue.submit(MESSAGE[0], **MESSAGE[1])
    take(store, "worker")
    store.queue.submit("answer_query", query_id="qry_a")
    store.queue.submit_following(MESSAGE[0], **MESSAGE[1])
    assert store.queue.waiting("query").count(MESSAGE) == 2  # the one in hand, and its follower
    assert take(store, "another").actor_name == "answer_query"
    assert take(store, "a third").kwargs == MESSAGE[1]


def test_a_message_that_was_delivered_twice_has_one_follower(store: Store) -> None:
    for worker in ("first", "second"):
        store.queue.submit(MESSAGE[0], **MESSAGE[1])
        take(store, worker)
    store.queue.submit_following(MESSAGE[0], **MESSAGE[1])
    store.queue.submit_following(MESSAGE[0], **MESSAGE[1])
    assert store.queue.waiting("query").count(MESSAGE) == 2


def test_messages_of_other_work_do_not_stand_for_it(store: Store) -> None:
    store.queue.submit(MESSAGE[0], **MESSAGE[1])
    take(store, "worker")
    for number in range(3):
        store.queue.submit("audit_index", audit_id=f"aud_{number}")
    store.queue.submit_following(MESSAGE[0], **MESSAGE[1])
    assert store.queue.waiting("query").count(MESSAGE) == 2


def test_what_begins_or_ends_work_does_not_wait_behind_the_pieces_of_other_work(store: Store) -> None:
    for shard in range(47):
        store.queue.submit("compute_shard", index_id="idx_large", shard=shard)
    store.queue.submit("finish_index", index_id="idx_small")
    store.queue.submit("plan_evaluation", evaluation_id="eval_a")
    found = [take(store, "worker", "build") for _ in range(3)]
    assert {message.actor_name for message in found[:2]} == {"finish_index", "plan_evaluation"}
    assert found[2].kwargs == {"index_id": "idx_large", "shard": 0}
    assert store.queue.depth("build") == 49
