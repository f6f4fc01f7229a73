"""`method: "auto"`: what an evaluation of the index found, else what the service's own found; always named."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.work import submit_evaluation

from app.queries.method_choice import choose_method
from influence.contracts.checkpoint import TrainingRecord
from influence.contracts.evaluation.experiment import LdsRequest, MethodChoice
from influence.contracts.evaluation.report import Report
from influence.contracts.index import Index
from influence.store.store import Store

EXAMPLE = {"text": "where is my refund", "label": "billing"}


def ask(client: TestClient, index: dict[str, Any], **fields: Any) -> Any:
    return client.post(f"/v1/indexes/{index['id']}/queries", json={"examples": [EXAMPLE], "method": "auto", **fields})


def judge(store: Store, index_id: str, figures: dict[str, tuple[float, float]], *methods: MethodChoice) -> str:
    """A finished evaluation that found (LDS, its low end) of methods by their titles."""
    request = LdsRequest(kind="lds", index_id=index_id, evaluation_dataset_id="ds_test", methods=tuple(methods) or None)
    asked = submit_evaluation(store, request, queued=False)
    lds = {title: {"lds": mean, "low": low, "high": 2 * mean - low} for title, (mean, low) in figures.items()}
    report = Report(tables=(), figures={"lds": lds})
    store.evaluations.update(asked.id, lambda found: found.model_copy(update={"state": "succeeded", "report": report}))
    return asked.id


def respec(store: Store, index: dict[str, Any], **fields: Any) -> None:
    def change(found: Index) -> Index:
        return found.model_copy(update={"spec": found.spec.model_copy(update=fields)})

    store.indexes.update(index["id"], change)


def test_without_an_evaluation_the_documented_method_is_taken_and_named(
    client: TestClient, ready_index: dict[str, Any]
) -> None:
    made = ask(client, ready_index).json()
    assert (made["method"], made["request"]["method"]) == ("proximal", "proximal")
    assert "No evaluation judged this index" in made["method_reason"]
    named = ask(client, ready_index, method="exact").json()
    assert (named["method"], named["method_reason"]) == ("exact", None)
    assert (
        client.post(f"/v1/indexes/{ready_index['id']}/queries", json={"examples": [EXAMPLE]}).json()["method"]
        == "datainf"
    )


def test_what_agreed_best_on_this_index_goes_before_with_its_damping(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    judge(store, "idx_other", {"cosine": (0.9, 0.8)})
    choices = [MethodChoice(method="exact", damping_scale=7.0), MethodChoice(method="datainf")]
    found = judge(store, ready_index["id"], {"exact x7": (0.5, 0.4), "datainf": (0.3, 0.2)}, *choices)
    made = ask(client, ready_index).json()
    assert (made["method"], made["request"]["damping_scale"]) == ("exact", 7.0)
    assert found in made["method_reason"]
    assert "0.500 (0.400 to 0.600)" in made["method_reason"]


@pytest.mark.parametrize("low", [0.0, -0.1])
def test_figures_that_may_be_chance_decide_nothing(
    client: TestClient, ready_index: dict[str, Any], store: Store, low: float
) -> None:
    judge(store, ready_index["id"], {"datainf": (0.1, low)})
    assert ask(client, ready_index).json()["method"] == "proximal"


def test_what_the_index_does_not_offer_is_never_taken(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    judge(store, ready_index["id"], {"preconditioned": (0.9, 0.8), "exact": (0.5, 0.4)})
    assert ask(client, ready_index).json()["method"] == "preconditioned"
    respec(store, ready_index, storage="compact", rank=16)
    assert ask(client, ready_index).json()["method"] == "exact"
    respec(store, ready_index, metric="optimizer")
    assert ask(client, ready_index).json()["method"] == "preconditioned"


def test_codes_in_the_optimisers_metric_answer_the_method_they_are_made_for(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    respec(store, ready_index, storage="compact", rank=16, metric="optimizer")
    made = ask(client, ready_index).json()
    assert made["method"] == "preconditioned"
    assert "made for" in made["method_reason"]


def test_a_damping_without_a_method_is_refused(client: TestClient, ready_index: dict[str, Any]) -> None:
    body = assert_problem(ask(client, ready_index, damping_scale=1.0), 422, "invalid_request")
    assert "Name the method" in body["hint"]


def test_audits_and_sweeps_take_the_same_choice_and_say_why(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    path = f"/v1/indexes/{ready_index['id']}"
    audit = client.post(f"{path}/audits", json={"method": "auto"}).json()
    assert (audit["method"], audit["request"]["method"], audit["damping_scale"]) == ("proximal", "proximal", 3.0)
    assert "No evaluation judged this index" in audit["method_reason"]
    found = judge(store, ready_index["id"], {"cosine": (0.8, 0.7), "exact": (0.5, 0.4)})
    audit = client.post(f"{path}/audits", json={"method": "auto"}).json()
    assert audit["method"] == "exact"  # cosine has no self-influence
    assert found in audit["method_reason"]
    only_loss = client.post(f"{path}/audits", json={"method": "auto", "signals": ["loss"]}).json()
    assert only_loss["method"] == "cosine"
    sweep = client.post(f"{path}/sweeps", json={"examples": [EXAMPLE], "method": "auto"}).json()
    assert (sweep["method"], sweep["default_damping_scale"]) == ("exact", 3.0)  # nor does it have a damping
    assert found in sweep["method_reason"]
    named = client.post(f"{path}/audits", json={}).json()
    assert (named["method"], named["method_reason"]) == ("datainf", None)


@pytest.mark.parametrize(
    ("optimizer", "method"), [("sgd", "proximal"), ("adamw_torch", "preconditioned"), (None, "preconditioned")]
)
def test_a_sum_after_gradient_descent_takes_no_optimisers_metric(
    ready_index: dict[str, Any], store: Store, optimizer: str | None, method: str
) -> None:
    index = store.indexes.require(ready_index["id"])
    record = None if optimizer is None else TrainingRecord(files=("training_args.bin",), optimizer=optimizer)
    store.checkpoints.update(index.spec.checkpoint_id, lambda found: found.model_copy(update={"training": record}))
    choice = choose_method(store, index, is_sum=True)
    assert choice.method == method
    assert ("after gradient descent" in choice.reason) == (optimizer == "sgd")
    assert choose_method(store, index).method == "proximal"
