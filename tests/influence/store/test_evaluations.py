"""What an evaluation keeps: written once, read back, gone when deleted."""

import pytest

from influence.store.store import Store


def test_the_first_plan_and_the_first_result_count(store: Store) -> None:
    data = store.evaluation_data
    assert data.plan("eval_a") is None
    assert data.keep_plan("eval_a", [{"seed": 0}, {"seed": 1}]) == [{"seed": 0}, {"seed": 1}]
    assert data.keep_plan("eval_a", [{"seed": 9}]) == [{"seed": 0}, {"seed": 1}]
    assert data.keep_result("eval_a", 1, {"loss": 0.5})
    assert not data.keep_result("eval_a", 1, {"loss": 0.7})
    assert (data.has_result("eval_a", 0), data.has_result("eval_a", 1)) == (False, True)
    assert (data.pieces_done("eval_a"), data.results("eval_a")) == ({1}, {1: {"loss": 0.5}})


def test_deleting_removes_one_evaluation_and_leaves_others(store: Store) -> None:
    data = store.evaluation_data
    for name in ("eval_a", "eval_b"):
        data.keep_plan(name, [{}])
        data.keep_result(name, 0, {})
        data.keep_picture(name, "auc.svg", b"<svg/>")
    data.delete("eval_a")
    assert (data.plan("eval_a"), data.results("eval_a"), data.picture("eval_a", "auc.svg")) == (None, {}, None)
    assert (data.plan("eval_b"), data.results("eval_b")) == ([{}], {0: {}})
    assert data.picture("eval_b", "auc.svg") == b"<svg/>"


def test_a_result_that_is_no_number_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.evaluation_data.keep_result("eval_a", 0, {"loss": float("nan")})
