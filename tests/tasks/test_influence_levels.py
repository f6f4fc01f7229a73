"""Levels of the rows of an answer: what stands out is said, and unrelated test points rarely have it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.problems import assert_problem
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import LABELS, make_causal, make_classifier
from support.trials.bench import Bench
from support.trials.shown import show

LEVELS = {"include": ["levels"], "k": 5, "order": "absolute"}


def tickets(count: int, seed: int) -> list[dict[str, Any]]:
    return [{**row, "label": LABELS.index(row["label"])} for row in make_ticket_rows(count, seed=seed)]


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_held_out_points_that_nothing_taught_rarely_have_a_row_that_stands_out(
    storage: str, bench: Bench, tmp_path: Path
) -> None:
    dataset = bench.dataset(make_completion_rows(160))
    index = bench.index(bench.checkpoint(make_causal(tmp_path / "lm")), dataset, storage=storage)
    query = bench.query(index, examples=make_completion_rows(60, seed=99), **LEVELS)
    out = [result["stands_out"] for result in query["results"]]
    # At most 1 in 20 is expected; of 60 more than 9 are as good as never.
    assert sum(out) <= 9
    quiet = [note for note in query["notes"] if note.startswith("No row stands out for")]
    assert len(quiet) == (not all(out))
    for result in query["results"]:
        levels = [row["influence_level"] for row in result["absolute"]]
        order = {"high": 0, "medium": 1, "low": 2, "none": 3}
        assert levels == sorted(levels, key=order.__getitem__)
        assert (levels[0] == "high") == result["stands_out"]


def test_a_row_that_taught_a_rare_thing_stands_out(bench: Bench, tmp_path: Path) -> None:
    rows = make_completion_rows(80)
    rare = {"id": "rare", "prompt": "where when my", "completion": " ".join(["parcel answer order bill"] * 6)}
    tiny = make_causal(tmp_path / "lm")
    index = bench.index(bench.checkpoint(tiny), bench.dataset([*rows, rare]), storage="full", reduction="sum")
    asked = {name: rare[name] for name in ("prompt", "completion")}
    query = bench.query(index, examples=[asked], **LEVELS)
    assert "│ high " in show(query)
    (result,) = query["results"]
    first = result["absolute"][0]
    assert (first["row_id"], first["influence_level"], result["stands_out"]) == ("rare", "high", True)


def test_levels_are_those_of_a_sum_over_checkpoints_too(bench: Bench, tmp_path: Path) -> None:
    dataset = bench.dataset(tickets(60, 0))
    index = bench.index(bench.checkpoint(make_classifier(tmp_path / "one")), dataset, storage="full")
    weights = [{"index_id": index["id"], "weight": 0.5}]
    single, summed = (
        bench.query(index, examples=tickets(3, 5), method="hessian_free", **extra, **LEVELS)["results"]
        for extra in ({}, {"checkpoints": weights})
    )
    assert [result["stands_out"] for result in single] == [result["stands_out"] for result in summed]
    assert np.isfinite([result["loss"] for result in summed]).all()


@pytest.mark.parametrize(
    "asked",
    [{"method": "embedding"}, {"against": "1"}, {"aggregate": "mean", "examples": tickets(2, 1)}],
)
def test_where_levels_cannot_be_told_they_are_refused(asked: dict[str, Any], bench: Bench, tmp_path: Path) -> None:
    index = bench.index(bench.checkpoint(make_classifier(tmp_path / "one")), bench.dataset(tickets(40, 0)))
    body = {"examples": tickets(1, 1), **LEVELS, **asked}
    assert_problem(bench.client.post(f"/v1/indexes/{index['id']}/queries", json=body), 422, "invalid_request")


def test_few_rows_have_no_levels(bench: Bench, tmp_path: Path) -> None:
    index = bench.index(bench.checkpoint(make_classifier(tmp_path / "one")), bench.dataset(tickets(20, 0)))
    path = f"/v1/indexes/{index['id']}/queries"
    body = {"examples": tickets(1, 1), **LEVELS}
    problem = assert_problem(bench.client.post(path, json=body), 422, "invalid_request")
    assert "38 or more" in problem["detail"]
