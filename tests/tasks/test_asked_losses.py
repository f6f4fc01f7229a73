"""Parts of answers, and one answer against another: over HTTP, against the formula written out."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.oracle import Blocks, dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import TinyCheckpoint, make_causal, make_classifier, make_seq2seq
from support.trials.bench import WAIT, Bench
from support.trials.exactness import load_tiny
from support.trials.shown import show

from workers.loading.checkpoint import LoadedCheckpoint

ROWS = make_completion_rows(24)
ASKED = {"id": "q", "prompt": "where is my refund ", "completion": "please cancel order again"}
#: Two words of the completion.
SPAN = [7, 19]


@pytest.fixture
def causal(tmp_path: Path) -> TinyCheckpoint:
    return make_causal(tmp_path / "causal")


def gradients_of_words(loaded: LoadedCheckpoint, words: str) -> Blocks:
    """The gradient of the mean loss of some words of ASKED, from the model's logits by hand."""
    model: Any = loaded.model
    ids = loaded.tokenizer(ASKED["prompt"] + ASKED["completion"], return_tensors="pt")["input_ids"]
    wanted = loaded.tokenizer(words, add_special_tokens=False)["input_ids"]
    places = [place for place, token in enumerate(ids[0].tolist()) if token in wanted]
    chances = model(input_ids=ids).logits[0].log_softmax(-1)
    loss = -torch.stack([chances[place - 1, ids[0, place]] for place in places]).mean()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters)
    return [values.flatten().double().numpy()[None] for values in found]


def scores_of(bench: Bench, query: dict[str, Any]) -> Any:
    return np.array(bench.get(f"/v1/queries/{query['id']}/scores")["influence"])


def test_the_loss_falls_on_the_words_asked_about_alone(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage="full")
    query = bench.query(index, examples=[ASKED], target={"span": SPAN})
    loaded = load_tiny(causal)
    truth = dense_datainf(gradients_of_words(loaded, "cancel order"), loop_gradients(loaded, ROWS))
    np.testing.assert_allclose(scores_of(bench, query), truth, atol=1e-4 * np.abs(truth).max())
    assert query["results"][0]["target_text"] == "cancel order"
    assert query["request"]["target"] == {"span": SPAN}
    assert "Asked about: cancel order" in show(query)


def test_all_of_the_completion_and_its_end_is_another_loss_than_its_characters(
    bench: Bench, causal: TinyCheckpoint
) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage="full")
    whole = bench.query(index, examples=[ASKED])["results"][0]
    words = bench.query(index, examples=[ASKED], target={"span": [0, len(ASKED["completion"])]})["results"][0]
    assert whole["target_text"] is None
    assert words["target_text"] == ASKED["completion"]
    # Four words and the end: the loss of the end alone is what is left.
    assert words["loss"] != pytest.approx(whole["loss"], rel=1e-3)


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_one_completion_against_another_is_the_difference_of_both(
    bench: Bench, causal: TinyCheckpoint, storage: str
) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage=storage)
    fields = {"method": "hessian_free", "exact": True, "k": 3}
    other = {**ASKED, "completion": "thanks"}
    both = bench.query(index, examples=[ASKED], against="thanks", **fields)
    mine, theirs = (bench.query(index, examples=[row], **fields) for row in (ASKED, other))
    truth = scores_of(bench, mine) - scores_of(bench, theirs)
    np.testing.assert_allclose(scores_of(bench, both), truth, atol=2e-2 * np.abs(truth).max())
    (result,) = both["results"]
    assert result["loss"] == pytest.approx(mine["results"][0]["loss"])
    assert result["against_loss"] == pytest.approx(theirs["results"][0]["loss"])
    assert both["request"]["against"] == "thanks"
    assert "And not: thanks" in show(both)


def test_one_class_against_another_summed_over_checkpoints(bench: Bench, tmp_path: Path) -> None:
    dataset = bench.dataset(make_ticket_rows(24))
    names = {"label_names": '["billing", "access", "delivery"]'}
    late = make_classifier(tmp_path / "late")
    early = TinyCheckpoint(late.base, shutil.copytree(late.adapter, tmp_path / "early"))
    weights = load_file(early.adapter / "adapter_model.safetensors")
    save_file({name: values / 2 for name, values in weights.items()}, early.adapter / "adapter_model.safetensors")
    indexes = [bench.index(bench.checkpoint(tiny, **names), dataset) for tiny in (late, early)]
    summed = [{"index_id": index["id"], "weight": 0.5} for index in indexes]

    def ask(label: str, **fields: Any) -> Any:
        example = {"text": "refund my card", "label": label}
        return bench.query(indexes[0], examples=[example], method="tracin", checkpoints=summed, **fields)

    truth = scores_of(bench, ask("billing")) - scores_of(bench, ask("access"))
    found = scores_of(bench, ask("billing", against="access"))
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    assert "And not: access" in show(ask("billing", against="access"))


def test_the_mean_of_test_points_and_rows_of_a_data_set_are_asked_alike(bench: Bench, causal: TinyCheckpoint) -> None:
    dataset = bench.dataset(ROWS)
    index = bench.index(bench.checkpoint(causal), dataset, storage="full")
    rows = {"dataset_id": dataset["id"], "row_indexes": [0, 1]}
    each = bench.query(index, rows=rows, against="thanks")
    mean = bench.query(index, rows=rows, against="thanks", aggregate="mean")
    truth = scores_of(bench, each).mean(axis=0)
    np.testing.assert_allclose(scores_of(bench, mean)[0], truth, atol=1e-4 * np.abs(truth).max())
    losses = [result["against_loss"] for result in each["results"]]
    assert mean["results"][0]["against_loss"] == pytest.approx(np.mean(losses))
    part = bench.query(index, rows=rows, target={"span": [0, 2]})
    assert [result["target_text"] for result in part["results"]] == [row["completion"][:2] for row in ROWS[:2]]


def test_a_part_of_what_an_encoder_decoder_writes(bench: Bench, tmp_path: Path) -> None:
    index = bench.index(bench.checkpoint(make_seq2seq(tmp_path / "t5")), bench.dataset(ROWS))
    (part,) = bench.query(index, examples=[ASKED], target={"span": SPAN})["results"]
    loaded = load_tiny(TinyCheckpoint(tmp_path / "t5" / "base", tmp_path / "t5" / "adapter"))
    labels = loaded.tokenizer(text_target=ASKED["completion"], return_tensors="pt")["input_ids"]
    model: Any = loaded.model
    chances = model(**loaded.tokenizer(ASKED["prompt"], return_tensors="pt"), labels=labels).logits[0].log_softmax(-1)
    # [CLS] please cancel order again [SEP]
    truth = -(chances[2, labels[0, 2]] + chances[3, labels[0, 3]]) / 2
    assert part["loss"] == pytest.approx(truth.item(), rel=1e-4)


def test_a_part_that_a_stored_answer_does_not_have_is_refused_by_the_rows_name(
    bench: Bench, causal: TinyCheckpoint
) -> None:
    dataset = bench.dataset(ROWS)
    index = bench.index(bench.checkpoint(causal), dataset)
    body = {"rows": {"dataset_id": dataset["id"], "row_indexes": [3]}, "target": {"span": [0, 4000]}}
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body, headers=WAIT)
    assert assert_problem(answer, 422, "rows_unfit")["row_ids"] == ["c3"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"target": {"span": [3, 3]}}, "span"),
        ({"target": {"span": [-1, 3]}}, "span"),
        ({"target": {"span": [0, 400]}}, "target.span"),
        ({"target": {"span": [0, 2]}, "against": "thanks"}, "against"),
        ({"target": {"span": [0, 2]}, "method": "embedding"}, "target.span"),
        ({"against": "thanks", "method": "embedding"}, "against"),
        ({"against": 3}, "against"),
        ({"against": ["thanks"]}, "against"),
    ],
)
def test_what_cannot_be_asked_of_a_language_model_is_refused_at_once(
    bench: Bench, causal: TinyCheckpoint, fields: dict[str, Any], field: str
) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS))
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json={"examples": [ASKED], **fields})
    assert field in str(assert_problem(answer, 422, "invalid_request"))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"target": {"span": [0, 2]}}, "invalid_request"),
        ({"against": "refunds"}, "label_unknown"),
        ({"against": 7}, "label_out_of_range"),
        ({"against": ["billing", "access"]}, "broken_row"),
    ],
)
def test_what_cannot_be_asked_of_a_classifier_is_refused_at_once(
    bench: Bench, tmp_path: Path, fields: dict[str, Any], code: str
) -> None:
    names = {"label_names": '["billing", "access", "delivery"]'}
    checkpoint = bench.checkpoint(make_classifier(tmp_path / "classifier"), **names)
    index = bench.index(checkpoint, bench.dataset(make_ticket_rows(24)))
    body = {"examples": [{"text": "refund", "label": "billing"}], **fields}
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body)
    (field,) = fields
    assert assert_problem(answer, 422, code)["field"].startswith(field)


def test_digits_from_a_terminal_are_a_class_where_classes_have_no_names(bench: Bench, tmp_path: Path) -> None:
    rows = [{**row, "label": number % 3} for number, row in enumerate(make_ticket_rows(24))]
    index = bench.index(bench.checkpoint(make_classifier(tmp_path / "classifier")), bench.dataset(rows))
    query = bench.query(index, examples=[{"text": "refund", "label": 0}], against="2")
    assert query["request"]["against"] == 2


def test_plain_text_has_no_other_answer(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset([{"text": row["prompt"]} for row in ROWS]))
    body = {"examples": [{"text": "refund my card"}], "against": "thanks"}
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body)
    assert assert_problem(answer, 422, "invalid_request")["field"] == "against"
    assert (
        bench.query(index, examples=[{"text": "refund my card"}], target={"span": [7, 14]})["results"][0]["target_text"]
        == "my card"
    )


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
