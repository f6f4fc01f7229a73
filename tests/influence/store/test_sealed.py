"""What has one character changed is found out; what carries no checksum yet is read as it is."""

import pytest
from support.work import make_work

from influence.contracts.index import ShardCommit
from influence.contracts.work import INDEX
from influence.errors import RecordDamaged
from influence.store import keys
from influence.store.data.sealed import seal, unseal
from influence.store.store import Store
from influence.store.work import keep

TEXT = '{"shard":3,"squared_norms":[1.5,2.5],"name":"größer"}'


def test_every_other_character_is_found_out_or_changes_nothing() -> None:
    sealed = seal(TEXT).encode()
    assert unseal(sealed) == TEXT.encode()
    for place in range(len(TEXT.encode()) - 1):
        with pytest.raises(ValueError, match="checksum"):
            unseal(sealed[:place] + b"7" + sealed[place + 1 :])


def test_what_an_earlier_version_wrote_is_read() -> None:
    assert unseal(TEXT) == unseal(TEXT.encode()) == TEXT.encode()


def test_a_record_with_another_number_in_it_is_damaged(store: Store) -> None:
    index = keep(store, make_work(INDEX))
    name, state = keys.record("index", index.id), store.connections.state
    text: bytes = state.get(name)  # type: ignore[assignment]
    state.set(name, text.replace(b'"rows":30', b'"rows":31'))
    with pytest.raises(RecordDamaged):
        store.indexes.require(index.id)


def test_a_commit_with_another_number_in_it_counts_as_lost(store: Store) -> None:
    store.index_data.commit("idx_a", ShardCommit(shard=0, rows=10, bytes=1, seconds=0.1, chunks=1))
    name, state = keys.commits("idx_a"), store.connections.state
    text: bytes = state.hget(name, "0")  # type: ignore[assignment]
    state.hset(name, "0", text.replace(b'"rows":10', b'"rows":11'))
    assert store.index_data.commits("idx_a") == {}
