"""The whole loop once: planted flips and a bad source, an audit, thirty decisions, another tool, and the proof.

`make test-loop` runs it on 2,000 rows and prints what it found.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tiny import LABELS
from support.trials.bench import Bench, open_bench
from support.trials.taught import BAD_SOURCE, make_signed_rows, teach

from app.reviews.label_studio import REMOVE_CHOICE
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

#: `make test-loop` asks for 2,000.
COUNT = int(os.environ.get("DATAINF_TESTS_LOOP_ROWS", "200"))
#: As many labels are wrong whatever the number of rows, so that thirty decisions can be told from none.
ROWS = make_signed_rows(COUNT, seed=1, flip_share=16 / COUNT, bad_share=100 / COUNT)
TRUSTED = make_signed_rows(3 * COUNT // 10, seed=9)
#: Of its training, until it knows the classes and no wrong label by heart.
STEPS = 40 if COUNT < 1000 else 80
DECISIONS = 30
#: As the checkpoint was trained, in batches.
RECIPE = {"epochs": 5, "batch_rows": 16, "learning_rate": 0.02}


@pytest.fixture
def bench(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(server.url, store, tmp_path) as opened:
        yield opened


def is_wrong(row: dict[str, Any]) -> bool:
    return bool(row["row"]["label"] != row["metadata"]["truth"])


def most_suspicious(bench: Bench, audit: dict[str, Any], count: int = DECISIONS) -> list[dict[str, Any]]:
    return list(bench.get(f"/v1/audits/{audit['id']}/rows?limit={count}")["data"])


def post(bench: Bench, path: str, **body: Any) -> dict[str, Any]:
    answer = bench.client.post(path, json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


def annotate(task: dict[str, Any], truth: str, *, is_removed: bool) -> dict[str, Any]:
    """A task as Label Studio exports it once somebody chose."""
    choice = {"choices": [REMOVE_CHOICE if is_removed else truth]}
    result = {"from_name": "label", "to_name": "text", "type": "choices", "value": choice}
    return {**task, "annotations": [{"result": [result], "was_cancelled": False}]}


def test_the_loop_from_a_wrong_answer_to_a_better_data_set(bench: Bench, tmp_path: Path) -> None:
    checkpoint = bench.checkpoint(teach(tmp_path / "tiny", ROWS, steps=STEPS), label_names=json.dumps(LABELS))
    dataset = bench.dataset(ROWS, columns='{"text": "text", "label": "label", "id": "id"}')
    judged = {"dataset_id": bench.dataset(TRUSTED, columns='{"text": "text", "label": "label", "id": "id"}')["id"]}
    index = bench.index(checkpoint, dataset, storage="compact")

    groups = bench.groups(index, by="source", evaluation=judged)
    last = groups["groups"][-1]
    assert last["group"] == BAD_SOURCE
    assert last["high"] < min(one["low"] for one in groups["groups"][:-1]), "the bad source is clear of the others"

    audit = bench.audit(index, evaluation=judged)
    shown = most_suspicious(bench, audit)
    wrong = [row for row in shown if is_wrong(row)]
    assert len(wrong) > DECISIONS / 3, "flips stand at the top"

    asked = post(bench, "/v1/reviews", dataset_id=dataset["id"], audit_id=audit["id"])
    place = f"/v1/reviews/{asked['id']}"
    decide_in_label_studio(bench, place, shown)
    progress = bench.get(place)["progress"]
    assert progress["decided"] == progress["keep"] + progress["relabel"] + progress["remove"] == DECISIONS

    applied = post(bench, f"{place}/apply")
    assert applied["removed"] == progress["remove"]
    grown = bench.index(checkpoint, {"id": applied["dataset_id"]}, storage="compact", grow_from=index["id"])
    assert grown["growth"]["rows_reused"] == len(ROWS) - progress["remove"] - progress["relabel"]
    second = bench.audit(grown, evaluation=judged)
    compared = bench.get("/v1/comparisons", params={"from": index["id"], "to": grown["id"]})
    assert (compared["rows"]["removed_count"], compared["rows"]["relabelled_count"]) == (
        progress["remove"],
        progress["relabel"],
    )
    audits = compared["audits"]
    assert (audits["before"]["audit_id"], audits["after"]["audit_id"]) == (audit["id"], second["id"])
    assert audits["top_gone"] == progress["remove"] + progress["relabel"]
    assert audits["after"]["top_disagreeing"] < audits["before"]["top_disagreeing"]
    again = most_suspicious(bench, second)
    assert sum(map(is_wrong, again)) < len(wrong), "fewer flips at the top"

    print(f"wrong labels among the {DECISIONS} most suspicious: {len(wrong)}, then {sum(map(is_wrong, again))}")
    print(f"disagreeing at the top: {audits['before']['top_disagreeing']}, then {audits['after']['top_disagreeing']}")
    flips = [row["row_index"] for row in most_suspicious(bench, audit, 2 * DECISIONS) if is_wrong(row)]
    check_by_training(bench, groups, flips)


def decide_in_label_studio(bench: Bench, place: str, shown: list[dict[str, Any]]) -> None:
    """Hand the rows over, choose what is true of each (those of the bad source go), and take them back."""
    rows = [{"column": "row_id", "op": "in", "value": [row["row_id"] for row in shown]}]
    found = {"format": "label-studio", "mode": "annotated", "where": json.dumps(rows)}
    tasks = bench.get(f"{place}/export", params=found)
    assert len(tasks) == DECISIONS
    truth = {row["row_index"]: row["metadata"] for row in shown}
    back = [
        annotate(task, held["truth"], is_removed=held["source"] == BAD_SOURCE)
        for task in tasks
        for held in [truth[task["data"]["row_index"]]]
    ]
    files = {"file": ("back.json", json.dumps(back))}
    taken = bench.client.post(f"{place}/import", files=files, data={"by": "ada"}).json()
    assert (taken["applied"], taken["version"]) == (DECISIONS, 1)


def check_by_training(bench: Bench, groups: dict[str, Any], flips: list[int]) -> None:
    """Trained again without these rows, the loss is lower than without as many random ones."""
    remove = {"row_indexes": flips}
    begun = post(bench, f"/v1/groups/{groups['id']}/what-if", remove=remove, verify=True, repeats=5, recipe=RECIPE)
    assert begun["effect"] < 0, "scores say that the loss falls"
    report = bench.finished(begun, f"/v1/evaluations/{begun['evaluation_id']}")["report"]
    measured = report["figures"]["rises"]["as given"][str(len(flips))]
    over, low, high = measured["over"]
    print(f"the loss without the {len(flips)} flips, over as many random rows: {over:.4f} ({low:.4f} to {high:.4f})")
    assert low <= over <= high < 0, "without the flips the loss is lower than without as many random rows"
