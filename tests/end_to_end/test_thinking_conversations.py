"""A conversation of several turns with a template that forgets earlier thoughts: accepted, and read as written."""

from collections.abc import Callable
from pathlib import Path

from support.tiny import make_causal
from support.uploads.local_service import local_service
from support.uploads.thinking_templates import FORGETS, plain

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

ROWS = [
    {
        "messages": [
            {"role": "user", "content": "refund"},
            {"role": "assistant", "content": "please help", "reasoning_content": "late"},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": "good", "reasoning_content": "bad"},
        ]
    }
]


def test_the_loss_falls_on_every_turn_as_the_whole_text_has_it(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    tiny = make_causal(tmp_path / "tiny")
    (tiny.adapter / "chat_template.jinja").write_text(plain(FORGETS))
    with local_service(server.url, store, tmp_path / "data", wait_until, [tmp_path]) as service:
        checkpoint = service.checkpoint(tiny.base, tiny.adapter)
        (row,) = service.preview(checkpoint, service.dataset(ROWS))["rows"]
    assert row["rendered"].count("<think>") == 1
    carried = [token for token, carries in zip(row["tokens"], row["supervised"], strict=True) if carries]
    words = [token for token in carried if token.isalpha()]
    assert words == ["please", "help", "bad", "good"]
