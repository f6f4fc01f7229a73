"""Scores by token over HTTP: they add up, they have characters, and where they cannot be told they are refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.problems import assert_problem
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint, make_causal, make_classifier, make_seq2seq
from support.trials.bench import Bench
from support.trials.exactness import load_tiny
from support.trials.shown import show

from cli.printing.tables import score_text

ROWS = make_completion_rows(24)
TICKETS = [{**row, "label": LABELS.index(row["label"])} for row in make_ticket_rows(24)]
TOKENS: dict[str, Any] = {"include": ["tokens"], "k": 3}
BY_LOSS = {**TOKENS, "tokens_by": "loss"}


@pytest.fixture
def causal(tmp_path: Path) -> TinyCheckpoint:
    return make_causal(tmp_path / "causal")


def shown(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [*result["helpful"], *result["harmful"], *result["absolute"]]
    assert rows
    return rows


def assert_adds_up(result: dict[str, Any]) -> None:
    """Every shown row's parts add up to its score, and are told of readable pieces of its text."""
    largest = max(abs(row["score"]) for row in shown(result))
    for row in shown(result):
        told = row["tokens"]
        total = sum(told["parts"]) + told["unplaced"]
        assert total == pytest.approx(row["score"], rel=1e-5, abs=1e-5 * largest)
        assert len(told["parts"]) == len(told["tokens"]) == len(told["starts"]) == len(told["stops"])
        for token, start, stop in zip(told["tokens"], told["starts"], told["stops"], strict=True):
            assert told["text"][start:stop] in (token, "")


@pytest.mark.parametrize("storage", ["full", "compact"])
@pytest.mark.parametrize("method", ["datainf", "hessian_free", "exact"])
def test_tokens_of_a_language_models_rows(bench: Bench, causal: TinyCheckpoint, storage: str, method: str) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage=storage)
    query = bench.query(index, examples=ROWS[:2], method=method, **TOKENS)
    for result in query["results"]:
        assert_adds_up(result)
        for row in shown(result):
            # What is called exact on compact storage was measured, and depends on the method.
            assert row["exact"] or (storage == "compact" and method != "hessian_free")
            assert row["tokens"]["text"] == row["row"]["prompt"] + row["row"]["completion"]
            assert row["tokens"]["unplaced"] == 0
            assert row["tokens"]["by"] == "position"
    printed = " ".join(show(query).split())
    told = query["results"][0]["helpful"][0]["tokens"]
    first = max(range(len(told["parts"])), key=lambda place: abs(told["parts"][place]))
    assert f"'{told['tokens'][first].strip()}' {score_text(told['parts'][first])}" in printed
    assert "Most loss: " in printed


def assert_falls_on_the_answer(row: dict[str, Any]) -> None:
    """Parts by loss lie on the completion's tokens and the end, and on no other."""
    told, prompt = row["tokens"], len(row["row"]["prompt"])
    assert (told["by"], told["unplaced"]) == ("loss", 0)
    places = [place for place, part in enumerate(told["parts"]) if part != 0]
    answered = {place for place, stop in enumerate(told["stops"]) if stop > prompt}
    assert {place for place in answered if told["tokens"][place] != "[SEP]"} <= set(places)
    assert {told["tokens"][place] for place in set(places) - answered} <= {"[SEP]"}


@pytest.mark.parametrize("storage", ["full", "compact"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_losses_of_tokens_add_up_to_the_scores_of_a_language_models_rows(
    bench: Bench, causal: TinyCheckpoint, storage: str, reduction: str
) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage=storage, reduction=reduction)
    query = bench.query(index, examples=ROWS[:2], **BY_LOSS)
    for result in query["results"]:
        assert_adds_up(result)
        for row in shown(result):
            assert_falls_on_the_answer(row)


def test_layers_that_take_the_slow_path_can_be_told_by_loss(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS))
    bench.store.indexes.update(
        index["id"],
        lambda found: found.model_copy(
            update={"blocks": tuple(block.model_copy(update={"path": "slow"}) for block in found.blocks)}
        ),
    )
    (result,) = bench.query(index, examples=ROWS[:1], **BY_LOSS)["results"]
    assert_adds_up(result)


def test_losses_of_tokens_of_rows_with_labels_are_refused(bench: Bench, tmp_path: Path) -> None:
    index = bench.index(bench.checkpoint(make_classifier(tmp_path / "classifier")), bench.dataset(TICKETS))
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json={"examples": TICKETS[:1], **BY_LOSS})
    body = assert_problem(answer, 422, "invalid_request")
    assert "loss of a token" in body["detail"]
    assert '"position"' in body["hint"]


def test_a_way_of_telling_goes_with_what_is_told(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS))
    body = {"examples": ROWS[:1], "tokens_by": "loss"}
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body)
    assert "'tokens'" in str(assert_problem(answer, 422, "invalid_request"))


def test_tokens_of_a_classifiers_rows_and_pairs(bench: Bench, tmp_path: Path) -> None:
    tiny = make_classifier(tmp_path / "classifier")
    pairs = [{**row, "text_pair": "my card"} for row in TICKETS]
    for rows, ending in ((TICKETS, ""), (pairs, "\nmy card")):
        index = bench.index(bench.checkpoint(tiny), bench.dataset(rows), storage="full")
        (result,) = bench.query(index, examples=rows[:1], order="absolute", **TOKENS)["results"]
        assert_adds_up(result)
        for row in shown(result):
            told = row["tokens"]
            assert told["text"] == row["row"]["text"] + ending
            assert told["unplaced"] != 0  # the pooler and the head
            assert told["tokens"][0] == "[CLS]"
            assert [token for token in told["tokens"] if not token.startswith("[")] == told["text"].split()
        assert result["tokens"] is None


def test_a_test_point_shows_the_loss_of_its_tokens(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage="full")
    asked = {"prompt": "where is my refund ", "completion": "please cancel order again"}
    (whole,) = bench.query(index, examples=[asked], **TOKENS)["results"]
    (part,) = bench.query(index, examples=[asked], target={"span": [7, 19]}, **TOKENS)["results"]
    loaded = load_tiny(causal)
    model: Any = loaded.model
    ids = loaded.tokenizer(asked["prompt"] + asked["completion"], return_tensors="pt")["input_ids"]
    chances = model(input_ids=ids).logits[0].log_softmax(-1)
    truth = [None, *(-chances[place - 1, ids[0, place]].item() for place in range(1, ids.shape[1]))]
    for result, words in ((whole, ["please", "cancel", "order", "again", "[SEP]"]), (part, ["cancel", "order"])):
        told = result["tokens"]
        losses = [(token, loss) for token, loss in zip(told["tokens"], told["losses"], strict=True) if loss is not None]
        assert [token for token, _ in losses] == words
        for found, expected in zip(told["losses"], truth, strict=True):
            assert found is None or found == pytest.approx(expected, rel=1e-4)
        assert sum(loss for _, loss in losses) / len(losses) == pytest.approx(result["loss"], rel=1e-5)
        assert_adds_up(result)


def test_tokens_of_a_difference_of_the_mean_and_of_a_sum_over_checkpoints(
    bench: Bench, causal: TinyCheckpoint, tmp_path: Path
) -> None:
    early = TinyCheckpoint(causal.base, shutil.copytree(causal.adapter, tmp_path / "early"))
    weights = load_file(early.adapter / "adapter_model.safetensors")
    save_file({name: values / 2 for name, values in weights.items()}, early.adapter / "adapter_model.safetensors")
    dataset = bench.dataset(ROWS)
    storages = {"full": causal, "compact": early}
    indexes = [bench.index(bench.checkpoint(tiny), dataset, storage=storage) for storage, tiny in storages.items()]
    summed = [{"index_id": index["id"], "weight": weight} for index, weight in zip(indexes, (0.5, 2.0), strict=True)]
    fields = {"method": "tracin", "checkpoints": summed, "against": "thanks", "aggregate": "mean"}
    for asked in (TOKENS, BY_LOSS):
        (result,) = bench.query(indexes[0], examples=ROWS[:3], **fields, **asked)["results"]
        assert_adds_up(result)
        assert result["tokens"] is None


def test_without_being_asked_for_no_token_is_told(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS))
    (result,) = bench.query(index, examples=ROWS[:1], k=2)["results"]
    assert result["tokens"] is None
    assert {row["tokens"] for row in shown(result)} == {None}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "cosine"}, "method_not_offered"),
        ({"method": "relative"}, "method_not_offered"),
        ({"method": "embedding"}, "invalid_request"),
        ({"exact": False}, "invalid_request"),
        ({"examples": ROWS[:20], "k": 20}, "invalid_request"),
    ],
)
def test_what_cannot_be_told_is_refused_at_once(
    bench: Bench, causal: TinyCheckpoint, fields: dict[str, Any], code: str
) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS), storage="compact")
    body = {"examples": ROWS[:1], **TOKENS, **fields}
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body)
    assert "token" in str(assert_problem(answer, 422, code))


def test_layers_that_take_the_slow_path_are_refused_by_name(bench: Bench, causal: TinyCheckpoint) -> None:
    index = bench.index(bench.checkpoint(causal), bench.dataset(ROWS))
    bench.store.indexes.update(
        index["id"],
        lambda found: found.model_copy(
            update={"blocks": tuple(block.model_copy(update={"path": "slow"}) for block in found.blocks)}
        ),
    )
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json={"examples": ROWS[:1], **TOKENS})
    body = assert_problem(answer, 422, "invalid_request")
    assert body["blocks"][0] in body["detail"]


def test_two_sequences_of_tokens_are_refused(bench: Bench, tmp_path: Path) -> None:
    index = bench.index(bench.checkpoint(make_seq2seq(tmp_path / "t5")), bench.dataset(ROWS))
    answer = bench.client.post(f"/v1/indexes/{index['id']}/queries", json={"examples": ROWS[:1], **TOKENS})
    assert assert_problem(answer, 422, "invalid_request")["field"] == "include"
