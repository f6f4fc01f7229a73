"""The order of messages: work in slices has one message that stands for what is left, builds take turns."""

from dramatiq import Message, MessageProxy

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


def submit_shards(store: Store, job: str, count: int, first: int = 0) -> None:
    store.queue.submit_all(
        "compute_shard",
        [{"index_id": "idx_a", "job_id": f"job_{job}", "shard": shard} for shard in range(first, first + count)],
    )


def served(store: Store, count: int) -> list[str]:
    """Whose messages a worker takes, in its order, which shard of theirs, or that it is the end."""
    found = [take(store, "worker", "build") for _ in range(count)]
    return [f"{message.kwargs['job_id'][4:]}{message.kwargs.get('shard', '!')}" for message in found]


def test_a_small_build_takes_turns_with_a_large_one_that_came_before_it(store: Store) -> None:
    submit_shards(store, "large", 47)
    assert served(store, 2) == ["large0", "large1"]
    submit_shards(store, "small", 2)
    submit_shards(store, "tiny", 1)
    assert served(store, 6) == ["large2", "small0", "tiny0", "large3", "small1", "large4"]
    store.queue.submit("finish_index", index_id="idx_a", job_id="job_small")
    store.queue.submit("finish_index", index_id="idx_a", job_id="job_tiny")
    assert served(store, 3) == ["small!", "tiny!", "large5"]


def test_a_large_build_is_not_starved_by_small_ones_that_keep_coming(store: Store) -> None:
    submit_shards(store, "large", 10)
    for number in range(5):
        submit_shards(store, f"small{number}", 1)
        assert served(store, 2) == [f"large{number}", f"small{number}0"]


def test_what_comes_back_does_not_wait_behind_a_large_build(store: Store) -> None:
    submit_shards(store, "small", 2)
    held = take(store, "dead", "build")
    submit_shards(store, "large", 40)
    assert held.kwargs["shard"] == 0
    assert store.queue.reclaim("dead") == 1
    assert served(store, 4) == ["small1", "large0", "large1", "small0"]


def test_what_is_tried_again_comes_to_its_turn_at_the_next_look(store: Store) -> None:
    submit_shards(store, "large", 40)
    queue = make_broker(store.connections.state, queues=("build",))
    retried = {"index_id": "idx_a", "job_id": "job_small", "shard": 0}
    queue.enqueue(
        Message(queue_name="build", actor_name="compute_shard", args=(), kwargs=retried, options={"retries": 1})
    )
    store.queue.share("build")
    assert served(store, 3) == ["large0", "small0", "large1"]


def test_a_fair_order_loses_no_message_and_doubles_none(store: Store) -> None:
    for build in range(3):
        submit_shards(store, f"{build}", 1500)
    names = store.connections.state.lrange("datainf-queue:build", 0, -1)
    assert len(names) == len(set(names)) == store.queue.depth("build") == 4500
    assert served(store, 6) == ["00", "10", "20", "01", "11", "21"]
