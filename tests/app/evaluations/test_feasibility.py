"""Experiments that cannot be made are refused before any work, with what to do instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.uploads.encoders import make_encoder_alias

from influence.store.store import Store


def lines(count: int, make: Callable[[int], str]) -> str:
    return "".join(make(number) + "\n" for number in range(count))


LABELLED = lines(40, lambda n: f'{{"text": "ticket {n}", "label": "{"abc"[n % 3]}"}}')
PROMPTS = lines(40, lambda n: f'{{"prompt": "p{n}", "completion": "c{n}", "group": "{"xy"[n % 2]}"}}')


@pytest.fixture
def client(make_client: Callable[..., TestClient], tmp_path: Path) -> TestClient:
    return make_client(base_model_aliases=make_encoder_alias(tmp_path / "encoder"))


@pytest.fixture
def send(client: TestClient) -> Callable[..., str]:
    """Send rows; answers the data set's id."""

    def upload(text: str, columns: str = "{}") -> str:
        answer = client.post("/v1/datasets", files={"file": ("rows.jsonl", text)}, data={"columns": columns})
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["id"])

    return upload


@pytest.fixture
def ask(client: TestClient) -> Callable[..., Any]:
    def post(kind: str, **fields: Any) -> Any:
        return client.post("/v1/evaluations", json={"kind": kind, **fields})

    return post


Send = Callable[..., str]
Ask = Callable[..., Any]


@pytest.mark.parametrize("kind", ["correlation", "mislabelled", "lds", "leave-out"])
def test_labels_and_the_default_encoder_are_resolved_when_the_request_is_accepted(
    send: Send, ask: Ask, kind: str
) -> None:
    fields = {"counts": [2]} if kind == "leave-out" else {}
    made = ask(kind, dataset_id=send(LABELLED), **fields)
    assert made.status_code == 202, made.text
    subject = made.json()["subject"]
    assert (subject["task"], subject["num_labels"], subject["label_names"]) == (
        "sequence_classification",
        3,
        ["a", "b", "c"],
    )
    assert subject["base_model"]["name"] == "minilm-l6"
    assert subject["base_model"]["digest"]


@pytest.mark.parametrize(
    ("labels", "names", "count"), [([0, 1, 4], None, 5), (['"0"', '"1"', '"7"'], ["0", "1", "7"], 3)]
)
def test_class_numbers_and_names_that_look_like_them_are_told_apart(
    send: Send, ask: Ask, labels: list[Any], names: list[str] | None, count: int
) -> None:
    rows = lines(30, lambda n: f'{{"text": "t{n}", "label": {labels[n % 3]}}}')
    subject = ask("lds", dataset_id=send(rows)).json()["subject"]
    assert (subject["label_names"], subject["num_labels"]) == (names, count)


def test_causal_rows_need_no_base_model(send: Send, ask: Ask) -> None:
    made = ask("class-attribution", dataset_id=send(PROMPTS, '{"class": "group"}'))
    assert made.status_code == 202, made.text
    assert made.json()["subject"] == {
        "task": "causal_lm",
        "base_model": None,
        "num_labels": None,
        "label_names": None,
        "dataset_id": made.json()["subject"]["dataset_id"],
    }
    assert made.json()["request"]["loss"] is None


def test_the_loss_of_causal_rows_is_settled(send: Send, ask: Ask) -> None:
    made = ask("lds", dataset_id=send(PROMPTS), base_model="minilm-l6").json()
    assert made["request"]["loss"] == "completion"


def test_kinds_that_train_many_times_need_a_base_model_for_causal_rows(send: Send, ask: Ask) -> None:
    body = assert_problem(ask("lds", dataset_id=send(PROMPTS)), 422, "invalid_request")
    assert "'base_model'" in body["hint"]


REFUSED = [
    ("lds", {"methods": [{"method": "datainv"}]}, "unknown_method"),
    ("lds", {"methods": [{"method": "lissa", "storage": "compact"}]}, "method_not_offered"),
    ("lds", {"methods": [{"method": "cosine", "damping_scale": 2}]}, "invalid_request"),
    ("lds", {"methods": [{"method": "exact"}, {"method": "exact"}]}, "invalid_request"),
    ("lds", {"seeds": [1, 1]}, "invalid_request"),
    ("lds", {"seeds": [-1]}, "invalid_request"),
    ("lds", {"subsets": 2000, "seeds": list(range(6))}, "invalid_request"),
    ("lds", {"rows": 37}, "invalid_request"),
    ("lds", {"loss": "completion"}, "invalid_request"),
    ("lds", {"reduction": "sum"}, "invalid_request"),
    ("lds", {"methods": [{"method": "exact", "reduction": "sum"}]}, "invalid_request"),
    ("lds", {"methods": [{"method": "exact", "reduction": "mean"}]}, "invalid_request"),
    ("lds", {"base_model": "../x y"}, "base_model_not_found"),
    ("lds", {"base_model": "/etc"}, "path_not_allowed"),
    ("lds", {"unknown": 1}, "invalid_request"),
    ("leave-out", {"counts": [36]}, "invalid_request"),
    ("leave-out", {"row_indexes": [1]}, "invalid_request"),
    ("leave-out", {"counts": [3, 3]}, "invalid_request"),
    ("leave-out", {"counts": [1, 2], "repeats": 50, "seeds": list(range(20)), "rows": 30}, None),
    ("leave-out", {"counts": [1, 2], "repeats": 100, "seeds": list(range(20)), "rows": 30}, "invalid_request"),
    ("calibrate", {}, "invalid_request"),
    ("class-attribution", {}, "rows_unfit"),
    ("no-such-kind", {}, "invalid_request"),
]


@pytest.mark.parametrize(("kind", "fields", "code"), REFUSED)
def test_requests_that_cannot_be_carried_out_are_refused(
    send: Send, ask: Ask, store: Store, kind: str, fields: dict[str, Any], code: str | None
) -> None:
    answer = ask(kind, dataset_id=send(LABELLED), **fields)
    if code is None:
        assert answer.status_code == 202, answer.text
        return
    body = assert_problem(answer, 403 if code == "path_not_allowed" else 422, code)
    assert body["hint"]
    assert store.queue.waiting("build") == []
    assert store.evaluations.all() == []


def test_modules_to_train_are_held_against_the_base_model(send: Send, ask: Ask) -> None:
    labelled, prompts = send(LABELLED), send(PROMPTS, '{"class": "group"}')
    made = ask("lds", dataset_id=labelled, trainable=["classifier"])  # a head may be made anew
    assert made.status_code == 202, made.text
    assert made.json()["request"]["trainable"] == ["classifier"]
    problem = assert_problem(ask("lds", dataset_id=labelled, trainable=["*.layer.5"]), 422, "nothing_trainable")
    assert problem["pattern"] == "*.layer.5"
    assert_problem(ask("lds", dataset_id=labelled, trainable=["a[b]"]), 422, "invalid_request")
    both = ask("lds", dataset_id=labelled, trainable=["classifier"], lora={"r": 4})
    assert "'lora' or 'trainable'" in assert_problem(both, 422, "invalid_request")["detail"]
    dropout = ask("lds", dataset_id=labelled, trainable=["classifier"], recipe={"lora_dropout": 0.2})
    assert "'lora_dropout'" in assert_problem(dropout, 422, "invalid_request")["detail"]
    ranks = ask("correlation", dataset_id=labelled, trainable=["classifier"])
    assert "'ranks'" in assert_problem(ranks, 422, "invalid_request")["detail"]
    small = ask("class-attribution", dataset_id=prompts, trainable=["lm_head"])
    assert "'base_model'" in assert_problem(small, 422, "invalid_request")["hint"]


@pytest.mark.parametrize("kind", ["correlation", "mislabelled", "class-attribution"])
def test_kinds_that_train_their_own_model_take_no_index(ask: Ask, kind: str) -> None:
    body = assert_problem(ask(kind, index_id="idx_1"), 422, "invalid_request")
    assert "dataset_id" in body["hint"]


def test_either_an_index_or_rows_are_named(send: Send, ask: Ask) -> None:
    rows = send(LABELLED)
    for fields in ({}, {"dataset_id": rows, "index_id": "idx_1"}):
        body = assert_problem(ask("lds", **fields), 422, "invalid_request")
        assert "either 'index_id' or 'dataset_id'" in body["detail"]


def test_an_index_has_to_be_ready_and_decides_its_own_settings(
    client: TestClient, ask: Ask, index: dict[str, Any], store: Store
) -> None:
    body = assert_problem(ask("calibrate", index_id=index["id"]), 409, "index_not_ready")
    assert body["job_id"] == index["job_id"]
    assert_problem(ask("lds", index_id="idx_none"), 404, "not_found")
    store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded"}))
    decided = {"max_length": 64, "base_model": "minilm-l6", "lora": {"r": 4}, "trainable": ["classifier"]}
    for fields in ({name: value} for name, value in {**decided, "reduction": "sum"}.items()):
        body = assert_problem(ask("lds", index_id=index["id"], **fields), 422, "invalid_request")
        assert f"'{next(iter(fields))}' is decided by the index" in body["detail"]
    tested = index["spec"]["dataset_id"]
    for fields in ({}, {"evaluation_dataset_id": tested, "flip_share": 0.1}):
        body = assert_problem(ask("lds", index_id=index["id"], **fields), 422, "invalid_request")
        assert "evaluation_dataset_id" in body["hint"]
    assert ask("lds", index_id=index["id"], evaluation_dataset_id=tested).status_code == 202


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        ({"method": "datainf", "storage": "compact"}, "invalid_request"),
        ({"method": "exact", "checkpoints": 3}, "invalid_request"),
        ({"method": "exact", "reduction": "mean"}, "invalid_request"),
        ({"method": "ekfac"}, "method_not_offered"),
    ],
)
def test_what_an_index_would_ignore_or_cannot_answer_is_refused(
    ask: Ask, index: dict[str, Any], store: Store, choice: dict[str, Any], code: str
) -> None:
    store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded"}))
    tested = index["spec"]["dataset_id"]
    answer = ask("lds", index_id=index["id"], evaluation_dataset_id=tested, methods=[choice])
    assert_problem(answer, 422, code)


def test_only_as_many_rows_are_held_out_as_will_be_asked(send: Send, ask: Ask) -> None:
    assert ask("lds", dataset_id=send(LABELLED), rows=39, test_points=1).status_code == 202
    assert_problem(ask("lds", dataset_id=send(LABELLED), rows=39, test_points=2), 422, "invalid_request")


def test_a_plain_model_has_nothing_to_train_again_from(ask: Ask, index: dict[str, Any], store: Store) -> None:
    store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded"}))
    plain = {"trainable": ("classifier",)}
    store.checkpoints.update(index["spec"]["checkpoint_id"], lambda found: found.model_copy(update=plain))
    answer = ask("lds", index_id=index["id"], evaluation_dataset_id=index["spec"]["dataset_id"])
    assert_problem(answer, 422, "task_mismatch")


@pytest.mark.parametrize("kind", ["mislabelled", "lds", "leave-out"])
def test_labels_are_flipped_only_where_there_are_labels(send: Send, ask: Ask, kind: str) -> None:
    body = assert_problem(
        ask(kind, dataset_id=send(PROMPTS), base_model="minilm-l6", flip_share=0.2), 422, "rows_unfit"
    )
    assert "Labels are flipped" in body["detail"]


@pytest.mark.parametrize(
    ("text", "columns", "code"),
    [
        (lines(20, lambda n: f'{{"prompt": "p{n}", "completion": "c"}}'), "{}", "rows_unfit"),
        (LABELLED, "{}", "rows_unfit"),
        (PROMPTS.replace('"x"', '"z"'), '{"class": "group"}', "rows_unfit"),
    ],
)
def test_evaluation_rows_have_to_fit_the_training_rows(
    send: Send, ask: Ask, text: str, columns: str, code: str
) -> None:
    trained = send(PROMPTS, '{"class": "group"}')
    answer = ask("class-attribution", dataset_id=trained, evaluation_dataset_id=send(text, columns))
    assert_problem(answer, 422, code)


def test_test_rows_with_labels_that_the_head_does_not_have_are_refused(send: Send, ask: Ask) -> None:
    tested = send('{"text": "x", "label": "d"}\n')
    body = assert_problem(ask("lds", dataset_id=send(LABELLED), evaluation_dataset_id=tested), 422, "label_unknown")
    assert body["labels"] == ["d"]


def test_class_attribution_shows_both_losses_and_keeps_every_gradient(send: Send, ask: Ask) -> None:
    rows = send(PROMPTS, '{"class": "group"}')
    assert (
        "both are shown"
        in assert_problem(ask("class-attribution", dataset_id=rows, loss="completion"), 422, "invalid_request")["hint"]
    )
    compact = [{"method": "datainf", "storage": "compact"}]
    assert_problem(ask("class-attribution", dataset_id=rows, methods=compact), 422, "method_not_offered")


def test_rows_of_one_class_teach_nothing(send: Send, ask: Ask) -> None:
    alike = lines(20, lambda n: f'{{"text": "t{n}", "label": "a"}}')
    assert_problem(ask("lds", dataset_id=send(alike)), 422, "rows_unfit")
    grouped = lines(20, lambda n: f'{{"prompt": "p{n}", "completion": "c", "group": "a"}}')
    assert_problem(ask("class-attribution", dataset_id=send(grouped, '{"class": "group"}')), 422, "rows_unfit")


def test_too_few_rows_are_said_with_figures(send: Send, ask: Ask) -> None:
    few = lines(8, lambda n: f'{{"text": "t{n}", "label": {n % 2}}}')
    body = assert_problem(ask("lds", dataset_id=send(few)), 422, "invalid_request")
    assert (body["rows"], body["held_out"], body["wanted"]) == (8, 1, 8)
    tested = send('{"text": "x", "label": 1}\n')
    assert ask("lds", dataset_id=send(few), evaluation_dataset_id=tested).status_code == 202


def test_huge_class_numbers_make_no_head(send: Send, ask: Ask) -> None:
    odd = lines(20, lambda n: f'{{"text": "t{n}", "label": {n % 2 * 5000}}}')
    assert "more than 1000 classes" in assert_problem(ask("lds", dataset_id=send(odd)), 422, "rows_unfit")["detail"]


def test_without_the_default_encoder_the_hint_says_what_to_name(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = make_client(base_model_aliases={"minilm-l6": str(tmp_path / "gone")})
    rows = client.post("/v1/datasets", files={"file": ("rows.jsonl", LABELLED)}).json()["id"]
    answer = client.post("/v1/evaluations", json={"kind": "lds", "dataset_id": rows})
    assert "'base_model'" in assert_problem(answer, 422, "base_model_not_found")["hint"]
