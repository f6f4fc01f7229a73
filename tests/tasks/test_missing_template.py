"""Conversations need a chat template to be written by: what has none is refused when an index is asked for."""

from pathlib import Path

from support.problems import assert_problem
from support.tiny import make_causal
from support.trials.bench import Bench

TALK = [{"role": "user", "content": "where is my card"}, {"role": "assistant", "content": "please help"}]
TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


def test_conversations_without_any_chat_template_are_refused_before_the_job(bench: Bench, tmp_path: Path) -> None:
    tiny = make_causal(tmp_path / "tiny")
    rows = bench.dataset([{"messages": TALK}, {"messages": TALK[:1] + TALK}])
    ids = {"checkpoint_id": bench.checkpoint(tiny)["id"], "dataset_id": rows["id"], "max_length": 64}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "rows_unfit")
    assert "chat_template.jinja" in problem["hint"]
    (tiny.base / "chat_template.jinja").write_text(TEMPLATE)
    assert bench.index(bench.checkpoint(tiny), rows)["state"] == "succeeded"
