"""Token classification: words with tags and texts with spans, from the file to gradients, scores and audits."""

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.oracle import dense_datainf, loop_gradients
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.tiny import TAGS, WORDS, TinyCheckpoint, make_tagger
from support.trials.bench import WAIT, Bench, zip_adapter
from support.trials.exactness import assert_rows_exact, load_tiny
from support.trials.shown import show, show_suspects

ROWS = 24
KIND = "token_classification"


def tagged_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Words, some of them of several tokens, with tags; the last of each row carries no loss."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        words = chance.choices([*WORDS, "card-login", "parcel/order"], k=chance.randint(2, 9))
        tags = [*chance.choices(TAGS, k=len(words) - 1), None]
        rows.append({"id": f"s{number}", "tokens": words, "tags": tags})
    return rows


def normal(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": row["id"], "tokens": row["tokens"], "label": row["tags"]} for row in rows]


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCheckpoint:
    return make_tagger(tmp_path / "tagger")


@pytest.fixture
def checkpoint(bench: Bench, tiny: TinyCheckpoint) -> dict[str, Any]:
    return bench.checkpoint(tiny)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_gradients_are_those_of_one_row_at_a_time(tmp_path: Path, kind: str) -> None:
    loaded = load_tiny(make_tagger(tmp_path, kind=kind))

    def loss_of_transformers(model: Any, row: dict[str, Any]) -> Any:
        """As the token classification example of transformers aligns labels."""
        inputs = loaded.tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        labels, before = [], None
        for word in inputs.word_ids():
            tag = None if word is None or word == before else row["label"][word]
            labels.append(-100 if tag is None else TAGS.index(tag))
            before = word
        return model(**inputs, labels=torch.tensor([labels])).loss

    assert_rows_exact(loaded, normal(tagged_rows(7)), loss_of_transformers)


def by_all_tokens(tags: list[int], words: list[int | None], *, inside: bool) -> list[int]:
    """Labels as those who label every token make them; `inside` as in Hugging Face's course: B- goes on as I-."""
    labels, before = [], None
    for word in words:
        tag = -100 if word is None else tags[word]
        labels.append(tag + 1 if inside and word == before and tag == TAGS.index("B-PLACE") else tag)
        before = word
    return labels


@pytest.mark.parametrize("scope", ["all", "inside"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_token_of_a_word_may_carry_loss(tmp_path: Path, scope: str, reduction: str) -> None:
    loaded = load_tiny(make_tagger(tmp_path), loss=scope, reduction=reduction)

    def loss_of_transformers(model: Any, row: dict[str, Any]) -> Any:
        inputs = loaded.tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        tags = [-100 if tag is None else TAGS.index(tag) for tag in row["label"]]
        labels = by_all_tokens(tags, inputs.word_ids(), inside=scope == "inside")
        mean = model(**inputs, labels=torch.tensor([labels])).loss
        return mean * (sum(label != -100 for label in labels) if reduction == "sum" else 1)

    assert_rows_exact(loaded, normal(tagged_rows(7)), loss_of_transformers)


def test_which_tokens_carried_loss_is_asked_for_and_what_is_taken_is_told(
    bench: Bench, checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    dataset = bench.dataset([{"tokens": ["my", "card-login"], "tags": ["O", "B-PLACE"]}] * 2)
    (shown, _) = bench.preview(checkpoint, dataset, loss="all")
    assert shown["supervised"] == [False, True, True, True, True, False]
    open_choice, said = bench.index(checkpoint, dataset), bench.index(checkpoint, dataset, loss="inside")
    assert any("which tokens of a word carried loss" in warning for warning in open_choice["warnings"])
    assert open_choice["spec"]["gradients"]["loss"] == "first"
    assert not any("carried loss" in warning for warning in said["warnings"])
    assert bench.index(checkpoint, dataset, loss="first")["id"] == open_choice["id"]
    assert bench.index(checkpoint, dataset, reduction="sum")["spec"]["gradients"]["reduction"] == "sum"
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}
    refused = bench.client.post("/v1/indexes", json={**ids, "loss": "assistant"})
    assert "'first' or 'all' or 'inside'" in assert_problem(refused, 422, "invalid_request")["hint"]


def test_autotrain_labels_every_token_and_is_followed(bench: Bench, tiny: TinyCheckpoint) -> None:
    settings = {"project_name": "p", "max_seq_length": 16, "tokens_column": "tokens", "tags_column": "tags"}
    content = io.BytesIO(zip_adapter(tiny.adapter))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("training_params.json", json.dumps(settings))
    files = {"adapter": ("adapter.zip", content.getvalue())}
    sent = bench.client.post("/v1/checkpoints", data={"base_model": str(tiny.base)}, files=files)
    assert sent.status_code == 201, sent.text
    dataset = bench.dataset([{"tokens": ["my", "card-login"], "tags": ["O", "B-PLACE"]}] * 2)
    body = {"checkpoint_id": sent.json()["id"], "dataset_id": dataset["id"]}
    index = bench.client.post("/v1/indexes", json=body, headers=WAIT).json()
    assert (index["spec"]["gradients"]["loss"], index["spec"]["gradients"]["max_length"]) == ("all", 16)
    (told,) = index["warnings"]
    assert "'reduction': 'sum'" in told
    body["reduction"] = "sum"
    assert bench.client.post("/v1/indexes", json=body, headers=WAIT).json()["warnings"] == []
    other = bench.client.post("/v1/indexes", json={**body, "loss": "first"}, headers=WAIT).json()
    assert any("training the loss fell on 'all'" in warning for warning in other["warnings"])


@pytest.mark.parametrize(
    ("names", "reason"), [(["B-A", "I-A", "L-A", "O"], "mark the ends"), (None, "have no names")], ids=["bilou", "none"]
)
def test_inside_needs_names_that_say_which_class_goes_on(
    bench: Bench, tmp_path: Path, names: list[str] | None, reason: str
) -> None:
    tiny = make_tagger(tmp_path / "tagger")
    (tiny.adapter / "config.json").unlink()
    config = json.loads((tiny.base / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (tiny.base / "config.json").write_text(json.dumps(config))
    given = {} if names is None else {"label_names": json.dumps(names)}
    checkpoint = bench.checkpoint(tiny, **given)
    dataset = bench.dataset([{"tokens": ["my", "card"], "tags": [3, 0]}] * 2)
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}
    refused = bench.client.post("/v1/indexes", json={**ids, "loss": "inside"})
    assert reason in assert_problem(refused, 422, "task_mismatch")["detail"]


def test_scores_equal_the_formula_written_out(bench: Bench, checkpoint: dict[str, Any], tiny: TinyCheckpoint) -> None:
    rows, asked = tagged_rows(ROWS), tagged_rows(2, seed=5)
    assert (checkpoint["task"], checkpoint["label_names"]) == (KIND, list(TAGS))
    dataset = bench.dataset(rows)
    assert (dataset["kind"], dataset["columns"]["tags"]) == (KIND, "tags")
    assert sum(dataset["statistics"]["labels"].values()) == sum(len(row["tags"]) - 1 for row in rows)
    assert dataset["statistics"]["tokens_without_tag"] == ROWS
    index = bench.index(checkpoint, dataset, storage="full")
    query = bench.query(index, examples=[{"tokens": row["tokens"], "label": row["tags"]} for row in asked], k=3)
    loaded = load_tiny(tiny)
    truth = dense_datainf(loop_gradients(loaded, normal(asked)), loop_gradients(loaded, normal(rows)))
    found = bench.get(f"/v1/queries/{query['id']}/scores")["influence"]
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    result = query["results"][0]
    assert len(result["predicted_label"]) == len(asked[0]["tokens"])
    assert result["helpful"][0]["label"] == rows[result["helpful"][0]["row_index"]]["tags"]
    assert ", ".join(result["predicted_label"])[:30] in show(query)


def test_spans_mean_the_tags_of_their_words(bench: Bench, checkpoint: dict[str, Any]) -> None:
    text = "my card-login address is lost"
    spans = [{"start": 3, "end": 21, "label": "PLACE"}, {"start": 25, "end": 29, "label": "THING"}]
    columns = '{"text": "text", "spans": "entities"}'
    dataset = bench.dataset([{"id": "a", "text": text, "entities": spans}] * 1, columns=columns)
    assert (dataset["kind"], dataset["statistics"]["span_labels"]) == (KIND, {"PLACE": 1, "THING": 1})
    index = bench.index(checkpoint, dataset)
    words = ["my", "card", "-", "login", "address", "is", "lost"]
    tags = ["O", "B-PLACE", "I-PLACE", "I-PLACE", "I-PLACE", "O", "B-THING"]
    (by_span,) = bench.query(index, examples=[{"text": text, "label": spans}])["results"]
    (by_tag,) = bench.query(index, examples=[{"tokens": words, "tags": tags}])["results"]
    assert by_span["loss"] == pytest.approx(by_tag["loss"], rel=1e-5)
    assert by_span["helpful"][0]["influence"] == pytest.approx(by_tag["helpful"][0]["influence"], rel=1e-4)
    assert by_span["helpful"][0]["label"] == spans


def test_the_models_own_answer_takes_the_place_of_tags_and_of_spans(
    bench: Bench, checkpoint: dict[str, Any], tiny: TinyCheckpoint
) -> None:
    index = bench.index(checkpoint, bench.dataset(tagged_rows(ROWS)), storage="compact", rank=4)
    text = "refund my parcel twice"
    for example in ({"tokens": text.split()}, {"text": text}):
        (result,) = bench.query(index, examples=[example], target="prediction")["results"]
        assert result["example"]["label"] == result["predicted_label"]
        assert 0 < result["predicted_probability"] <= 1
    loaded = load_tiny(tiny)
    outputs = loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits[0, 1:-1].argmax(dim=-1)
    (result,) = bench.query(index, examples=[{"tokens": text.split()}], target="prediction")["results"]
    assert result["predicted_label"] == [TAGS[place] for place in outputs.tolist()]


def test_a_preview_shows_that_the_loss_falls_on_the_first_token_of_tagged_words(
    bench: Bench, checkpoint: dict[str, Any]
) -> None:
    rows = [{"tokens": ["my", "card-login", "late"], "tags": ["O", "B-THING", None]}]
    (shown,) = bench.preview(checkpoint, bench.dataset(rows))
    assert shown["tokens"] == ["[CLS]", "my", "card", "[UNK]", "login", "late", "[SEP]"]
    assert shown["supervised"] == [False, True, True, False, False, False, False]


def test_an_audit_shows_the_tags_of_every_row(bench: Bench, checkpoint: dict[str, Any]) -> None:
    rows = tagged_rows(ROWS)
    index = bench.index(checkpoint, bench.dataset(rows))
    audit = bench.audit(index)
    assert [signal["name"] for signal in audit["signals"]] == ["loss", "self_influence"]
    page = bench.get(f"/v1/audits/{audit['id']}/rows?length=2")["data"]
    assert all(row["label"] == rows[row["row_index"]]["tags"] for row in page)
    assert " ".join(page[0]["row"]["tokens"])[:20] in show_suspects(page)
    for accept in ("text/csv", "application/vnd.apache.parquet", "application/jsonl"):
        path = f"/v1/audits/{audit['id']}/table"
        assert bench.client.get(path, headers={"Accept": accept}).status_code == 200
    same = {"tokens": rows[3]["tokens"], "tags": rows[3]["tags"]}
    (result,) = bench.query(index, examples=[same], method="embedding", k=1, order="helpful")["results"]
    assert result["helpful"][0]["row"]["tokens"] == rows[3]["tokens"]


def test_long_rows_lose_the_words_that_are_not_read(bench: Bench, checkpoint: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = [
        {"tokens": ["late"] * 12, "tags": ["O"] * 12},
        {"tokens": ["late"] * 12, "tags": [None] * 11 + ["O"]},
    ]
    first, both = bench.dataset(rows[:1]), bench.dataset(rows)
    assert sum(bench.preview(checkpoint, first, max_length=8)[0]["supervised"]) == 6
    assert bench.index(checkpoint, first, max_length=8)["truncated_rows"] == 1
    ids = {"checkpoint_id": checkpoint["id"], "max_length": 8}
    masked = bench.client.post("/v1/indexes", json={**ids, "dataset_id": both["id"]}, headers=WAIT)
    assert len(assert_problem(masked, 422, "row_masked")["row_ids"]) == 1
    failing = {**ids, "dataset_id": first["id"], "on_too_long": "fail"}
    assert_problem(bench.client.post("/v1/indexes", json=failing, headers=WAIT), 422, "row_too_long")


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens have 1 tags"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "an empty one"),
        ({"tokens": [], "tags": []}, "no words"),
        ({"tokens": "a b", "tags": ["O", "O"]}, "no list"),
        ({"tokens": ["a"], "tags": [["O"]]}, "several labels"),
        ({"tokens": ["a"], "tags": [0]}, "a class number"),
        ({"tokens": ["a"], "tags": [""]}, "which is empty"),
    ],
)
def test_tags_that_do_not_fit_their_words_are_refused_by_row(bench: Bench, row: dict[str, Any], detail: str) -> None:
    answer = bench.send_rows([{"tokens": ["x"], "tags": ["O"]}, row])
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    assert answer.json()["row_index"] == 1


@pytest.mark.parametrize(
    ("spans", "detail"),
    [
        ([{"start": 0, "end": 99, "label": "PLACE"}], "a span ends at 99, the text at 6"),
        ([{"start": 3, "end": 3, "label": "PLACE"}], "no span"),
        ([{"start": 0, "end": 3}], "no span"),
        ([{"start": 0, "end": 3, "label": 1}], "no span"),
        ([[0, 3, "A"], [2, 4, "B"]], "overlap"),
        ("0-3", "no list"),
    ],
)
def test_spans_that_are_none_are_refused_by_row(bench: Bench, spans: Any, detail: str) -> None:
    answer = bench.send_rows([{"text": "refund", "s": spans}], columns='{"text": "text", "spans": "s"}')
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_spans_and_tags_that_the_head_does_not_know_are_refused(
    bench: Bench, checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    columns = '{"text": "text", "spans": "s"}'
    unknown = bench.dataset([{"text": "refund", "s": [[0, 6, "MONEY"]]}], columns=columns)
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": unknown["id"]}
    assert assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "label_unknown")["labels"] == ["MONEY"]
    tags = bench.dataset([{"tokens": ["refund"], "tags": ["B-MONEY"]}])
    refused = bench.client.post("/v1/indexes", json={**ids, "dataset_id": tags["id"]})
    assert assert_problem(refused, 422, "label_unknown")["labels"] == ["B-MONEY"]
    inside = bench.dataset([{"text": "refund late", "s": [[2, 4, "PLACE"]]}], columns=columns)
    built = bench.client.post("/v1/indexes", json={**ids, "dataset_id": inside["id"]}, headers=WAIT)
    assert "the beginning of no word" in assert_problem(built, 422, "rows_unfit")["detail"]
    nameless = bench.checkpoint(make_tagger(tmp_path / "other"), label_names='["A", "B", "C", "D"]')
    plain = bench.dataset([{"text": "refund late", "s": [[0, 6, "A"]]}], columns=columns)
    ids = {"checkpoint_id": nameless["id"], "dataset_id": plain["id"]}
    built = bench.client.post("/v1/indexes", json=ids, headers=WAIT)
    assert "no class 'O'" in assert_problem(built, 422, "rows_unfit")["detail"]


def test_columns_of_published_sets_are_found_or_asked_for(bench: Bench) -> None:
    words = {"id": "a", "tokens": ["My", "parcel"]}
    assert bench.dataset([{**words, "ner_tags": [0, -100]}])["columns"]["tags"] == "ner_tags"
    both = {**words, "ner_tags": [0, 1], "pos_tags": [1, 1]}
    problem = assert_problem(bench.send_rows([both]), 422, "columns_ambiguous")
    assert len(problem["readings"]) == 2
    chosen = bench.dataset([both], columns='{"tags": "pos_tags"}')
    assert chosen["statistics"]["labels"] == {"1": 2}
    lines = b'tokens,tags\n"[""refund""]","[""O""]"\n'
    assert bench.client.post("/v1/datasets", files={"file": ("r.csv", lines)}).json()["kind"] == KIND


def test_tickets_need_another_task(bench: Bench, checkpoint: dict[str, Any]) -> None:
    ids = {"checkpoint_id": checkpoint["id"], "dataset_id": bench.dataset(make_ticket_rows(4))["id"]}
    problem = assert_problem(bench.client.post("/v1/indexes", json=ids), 422, "rows_unfit")
    assert "tokens + tags for token_classification" in problem["hint"]


def test_an_evaluation_trains_a_head_with_an_output_per_tag(bench: Bench, tiny: TinyCheckpoint) -> None:
    body = {
        "kind": "lds",
        "dataset_id": bench.dataset(tagged_rows(40))["id"],
        "base_model": str(tiny.base),
        "subsets": 8,
        "seeds": [0],
        "test_points": 4,
        "max_length": 64,
        "lora": {"r": 2},
        "recipe": {"epochs": 1},
        "methods": [{"method": "datainf"}],
    }
    evaluation = bench.evaluate(**body)
    assert (evaluation["subject"]["task"], evaluation["subject"]["num_labels"]) == (KIND, len(TAGS))
    columns = json.dumps({"text": "text", "spans": "s"})
    spans = bench.dataset([{"text": f"refund {n}", "s": [[0, 6, "PLACE"]]} for n in range(40)], columns=columns)
    refused = bench.client.post("/v1/evaluations", json={**body, "dataset_id": spans["id"]})
    assert "spans" in assert_problem(refused, 422, "rows_unfit")["detail"]
