"""A few stored values garbled one at a time; `make chaos` does hundreds."""

import random
import zlib
from collections.abc import Iterator

import pytest

from harness.records import Story, check, opened_story, try_many
from influence.store import keys
from influence.store.data.chunks import HEADER_BYTES

TRIALS = 10


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened_story(tmp_path_factory.mktemp("story")) as opened:
        yield opened


def test_garbled_values_break_no_promise(story: Story) -> None:
    done, wrong = try_many(story, random.Random(16), TRIALS)
    assert wrong == []
    assert sum(done.values()) == TRIALS


def test_rows_that_are_not_what_was_sent_are_never_scored(story: Story) -> None:
    (folder,) = story.runtime.files.datasets.iterdir()
    lines = folder / "rows.jsonl"
    whole = lines.read_bytes()
    lines.write_bytes(whole.replace(b"refund", b"parcel"))
    try:
        for name in [name for name in story.kept if b":g:" in name]:
            story.store.connections.cache.delete(name)
        story.forget()
        refused: set[str] = set()
        assert story.ask("full", refused) is None
        assert refused
    finally:
        lines.write_bytes(whole)
        story.settle()
        story.put_back()


def test_a_value_that_is_wrong_beneath_a_right_checksum_is_found_out(story: Story) -> None:
    index, cache = story.store.indexes.require(story.indexes["full"]), story.store.connections.cache
    name = keys.gradients(index.build, 0, 0, 0)
    whole: bytes = cache.get(name)  # type: ignore[assignment]
    # The sign of every gradient: the highest bit of its last byte.
    turned = bytes(byte ^ 0x80 if at % 4 == 3 else byte for at, byte in enumerate(whole[HEADER_BYTES:]))
    cache.set(name, whole[:8] + zlib.crc32(turned).to_bytes(4, "little") + whole[12:HEADER_BYTES] + turned)
    story.forget()
    wrong = check(story)
    story.put_back()
    assert "wrong scores of the full index" in wrong
