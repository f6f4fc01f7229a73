"""Two indexes beside each other: rows by what they say, answers over the rows that both have."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from app.indexes.comparing.rows import match_rows
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.query import Query
from influence.rows.file import RowFile, write_rows
from influence.store.store import Store


def rows_of(folder: Path, *given: tuple[str, str]) -> RowFile:
    """A row file of texts with labels; ids are places, as a data set without ids has them."""
    write_rows(folder, ({"id": f"row-{at}", "text": text, "label": label} for at, (text, label) in enumerate(given)))
    return RowFile(folder)


def test_rows_are_matched_by_what_they_say(tmp_path: Path) -> None:
    old = rows_of(tmp_path / "a", ("a", "x"), ("b", "x"), ("a", "x"), ("c", "y"), ("d", "y"))
    new = rows_of(tmp_path / "b", ("d", "y"), ("a", "x"), ("c", "x"), ("e", "y"))
    with old, new:
        match = match_rows(old, new)
    assert match.kept.tolist() == [[0, 1], [4, 0]]
    assert match.relabelled.tolist() == [[3, 2]]
    assert (match.removed.tolist(), match.added.tolist()) == ([1, 2], [3])


def test_random_data_sets_are_matched_completely(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    given = [[(str(rng.integers(9)), str(rng.integers(2))) for _ in range(40)] for _ in range(2)]
    old, new = (rows_of(tmp_path / str(place), *rows) for place, rows in enumerate(given))
    with old, new:
        match = match_rows(old, new)
    for one, two in match.kept:
        assert given[0][one] == given[1][two]
    for one, two in match.relabelled:
        assert given[0][one][0] == given[1][two][0]
        assert given[0][one][1] != given[1][two][1]
    seen = [*match.kept[:, 0], *match.relabelled[:, 0], *match.removed]
    assert sorted(seen) == list(range(40))
    assert sorted([*match.kept[:, 1], *match.relabelled[:, 1], *match.added]) == list(range(40))
    left = [given[0][at] for at in match.removed]
    right = [given[1][at] for at in match.added]
    assert not {text for text, _ in left} & {text for text, _ in right}, "what both have was matched"


@pytest.fixture
def indexes(client: TestClient, checkpoint: Checkpoint, store: Store) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two ready indexes; the second lost row 0 of twelve, and row 5 has another label."""
    made = []
    for at in range(2):
        rows = [{"text": f"t{row}", "label": ("billing", "access")[row % 2]} for row in range(12)]
        if at:
            rows[5]["label"] = "billing"
            del rows[0]
        text = "\n".join(map(json.dumps, rows))
        dataset = client.post("/v1/datasets", files={"file": ("rows.jsonl", text)}).json()
        index = client.post("/v1/indexes", json={"checkpoint_id": checkpoint.id, "dataset_id": dataset["id"]}).json()
        store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded"}))
        store.jobs.succeed(index["job_id"])
        made.append(index)
    return made[0], made[1]


def replaced(finished: Query, _: Query) -> Query:
    return finished


def audit(client: TestClient, store: Store, index: dict[str, Any], rows: int, disagree: int) -> str:
    made = client.post(f"/v1/indexes/{index['id']}/audits", json={}).json()
    table: dict[str, Any] = {
        "row_index": np.arange(rows),
        "suspicion": np.linspace(1, 0, rows).astype(np.float32),
        "loss": np.linspace(1, 0, rows).astype(np.float32),
        "label": np.zeros(rows, np.int32),
        "predicted": (np.arange(rows) < disagree).astype(np.int32),
        "probability": np.zeros(rows, np.float32),
        "other_probability": np.zeros(rows, np.float32),
    }
    store.audit_data.write_columns(made["id"], table)
    done = {"state": "succeeded", "rows_audited": rows, "columns": tuple(table)}
    store.audits.update(made["id"], lambda found: found.model_copy(update=done))
    return str(made["id"])


def test_a_comparison_says_what_changed(
    client: TestClient, store: Store, indexes: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    first, second = indexes
    asked = {"from": first["id"], "to": second["id"]}
    bare = client.get("/v1/comparisons", params=asked).json()
    rows = bare["rows"]
    assert (rows["before"], rows["after"], rows["kept"]) == (12, 11, 10)
    assert [row["row_index"] for row in rows["removed"]] == [0]
    (relabelled,) = rows["relabelled"]
    assert (relabelled["row_index"], relabelled["to_row_index"]) == (5, 4)
    assert (relabelled["label"], relabelled["to_label"]) == ("access", "billing")
    assert bare["queries"] is None
    assert bare["audits"] is None
    assert len(bare["notes"]) == 2
    ids = audit(client, store, first, 12, 6), audit(client, store, second, 11, 2)
    audits = client.get("/v1/comparisons", params=asked).json()["audits"]
    assert (audits["before"]["audit_id"], audits["after"]["audit_id"]) == ids
    assert (audits["before"]["top_disagreeing"], audits["after"]["top_disagreeing"]) == (6, 2)
    assert (audits["top_gone"], audits["same_evaluation"]) == (2, False)
    assert audits["spearman"] == pytest.approx(1)


def test_the_same_question_is_compared_over_rows_that_both_have(
    client: TestClient, store: Store, indexes: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    scores = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)
    after = np.delete(scores, 0, axis=1)
    after[0, 4] = 99  # the relabelled row counts in neither
    body = {"examples": [{"text": "t", "label": "billing"}], "k": 1}
    for index, influence in zip(indexes, (scores, after), strict=True):
        made = client.post(f"/v1/indexes/{index['id']}/queries", json=body).json()
        point = {"example": {}, "loss": 0.5, "histogram": {"hist": [], "bin_edges": [0]}, "summary": {}}
        done = {"state": "succeeded", "results": [point]}
        finished = Query.model_validate(store.queries.require(made["id"]).model_dump() | done)
        store.queries.update(made["id"], partial(replaced, finished))
        store.scores.write(made["id"], influence)
    asked = {"from": indexes[0]["id"], "to": indexes[1]["id"]}
    found = client.get("/v1/comparisons", params=asked).json()["queries"]
    assert (found["rows"], found["test_points"], found["k"]) == (10, 1, 10)
    assert (found["spearman"], found["overlap"]) == (pytest.approx(1), 1)


def test_an_index_that_is_not_there_is_said(client: TestClient, indexes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    asked = {"from": indexes[0]["id"], "to": "idx_none"}
    assert_problem(client.get("/v1/comparisons", params=asked), 404, "not_found")
    assert_problem(client.get("/v1/comparisons"), 422, "invalid_request")
