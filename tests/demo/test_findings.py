"""Judging a ranking by rows known to be wrong, and showing rows that mean harm."""

import io

import numpy as np
import pytest
from rich.console import Console

from demo.findings import judge
from demo.report import show_answer
from influence.contracts.common import now
from influence.contracts.query import Histogram, Query, QueryRequest, ScoredRow, TestPointResult


def test_perfect_ranking_finds_all_planted_rows() -> None:
    wrong = [number < 10 for number in range(100)]
    found = judge(np.arange(100, 0, -1, dtype=float), wrong)
    assert (found.found, found.auc, found.precision, found.recall) == (10, 1.0, 1.0, 1.0)


def test_reversed_ranking_finds_none_and_ties_are_worth_half() -> None:
    wrong = [number < 10 for number in range(100)]
    assert judge(np.arange(100, dtype=float), wrong).auc == 0.0
    assert judge(np.zeros(100), wrong).auc == 0.5


def test_area_is_the_share_of_pairs_in_order() -> None:
    values, wrong = np.array([3.0, 1.0, 2.0, 2.0, 0.0]), [True, False, True, False, False]
    assert judge(values, wrong, share=0.4).auc == pytest.approx(5.5 / 6)


def test_rows_are_shown_as_plain_text_and_planted_ones_are_marked() -> None:
    hostile = "[bold red]sale[/] \x1b[2J\x1b]0;title\x07 (see [link=file:///x]here[/link])"
    row = ScoredRow(
        rank=1,
        row_index=0,
        row_id="[blink]7",
        row={"text": hostile},
        label="[red]x",
        influence=2.0,
        score=-2.0,
        direction="harmful",
        percentile=0.0,
        exact=True,
    )
    result = TestPointResult(
        example={"text": hostile, "label": "a"},
        loss=1.0,
        predicted_label="b",
        harmful=(row,),
        histogram=Histogram(hist=(1,), bin_edges=(0.0, 1.0)),
        summary={},
    )
    query = Query(
        id="qry_1",
        index_id="idx_1",
        job_id="job_1",
        state="succeeded",
        method="datainf",
        created_at=now(),
        request=QueryRequest(examples=[{"text": "x"}]),
        results=(result,),
    )
    stream = io.StringIO()
    show_answer(
        Console(file=stream, width=200, force_terminal=True, color_system=None), query, {"[blink]7": "[b]y"}, 12.0
    )
    shown = stream.getvalue()
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "[bold red]sale[/]" in shown
    assert "[blink]7" in shown
    assert "planted, is [b]y" in shown
