"""What every method says of itself against what it does, on indexes of both storages as they answer queries."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support.coded import Problem, code_rows, draw_problem

from influence.contracts.index import IndexSpec, Metric, Storage
from influence.errors import MethodNotOffered
from influence.evaluating.agreement import rank_correlations
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.registry import METHODS, describe_methods, get_method, get_offered
from workers.evaluating.kinds import class_attribution, correlation, lds, leave_out, mislabelled
from workers.indexes.compact import CompactIndex
from workers.indexes.full import FullIndex
from workers.runtime.hot_indexes import HotIndex

NAMES = sorted(METHODS)
STORAGES: tuple[Storage, ...] = ("full", "compact")
ROWS = 60
#: Passes over the rows of one query, above which a method is iterative.
MANY_PASSES = 5

each_method = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return draw_problem(3, rows=ROWS, tests=4)


@pytest.fixture
def indexes(problem: Problem, request: pytest.FixtureRequest) -> dict[str, HotIndex]:
    """Of both storages; codes are of the metric that the test's method needs."""
    metric = METHODS[request.getfixturevalue("name")].metric
    return {"full": make_full(problem, with_factors=True), "compact": make_compact(problem, metric)}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Walks over the rows of each block."""
    walks: Counter[int] = Counter()
    walk = TrainBlock.chunks

    def count(block: TrainBlock, dtype: str | None = None) -> Iterator[tuple[int, int, Any]]:
        walks[block.width] += 1
        return walk(block, dtype)

    monkeypatch.setattr(TrainBlock, "chunks", count)
    return walks


def make_full(problem: Problem, *, with_factors: bool) -> FullIndex:
    blocks = {str(number): TrainBlock.of(as_tensor(block)) for number, block in enumerate(problem.train)}
    factors = {name: (np.eye(1), np.eye(block.width)) for name, block in blocks.items()} if with_factors else {}
    return FullIndex(blocks, np.arange(ROWS), np.zeros(ROWS, np.float32), 1, lambda: factors)


def make_compact(problem: Problem, metric: Metric) -> CompactIndex:
    """Codes that keep every direction."""
    train = [as_tensor(block) for block in problem.train]
    rows = code_rows(train, rank=ROWS, directions=ROWS, dtype="float16", metric=metric)
    return CompactIndex(rows, np.arange(ROWS), np.zeros(ROWS, np.float32))


def as_tensor(block: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(block, np.float32))


def points_of(problem: Problem) -> dict[str, torch.Tensor]:
    return {str(number): as_tensor(block) for number, block in enumerate(problem.test)}


def gradients_of(problem: Problem) -> Any:
    """Reads true gradients of rows, as a compact index asks for them."""
    joined = torch.cat([as_tensor(block) for block in problem.train], dim=1)
    return lambda rows: joined[rows]


@each_method
def test_a_method_answers_on_the_storages_that_it_claims_and_on_no_other(
    name: str, indexes: dict[str, HotIndex], problem: Problem
) -> None:
    for storage in STORAGES:
        metric = METHODS[name].metric if storage == "compact" else "gradient"
        spec = IndexSpec(checkpoint_id="c", dataset_id="d", storage=storage, kronecker=True, metric=metric)
        if storage in METHODS[name].storages:
            scores = indexes[storage].scorer(get_offered(name, spec).name, None)(points_of(problem))
            assert scores.shape == (4, ROWS)
            assert np.isfinite(scores).all()
            assert np.ptp(scores, axis=1).min() > 0
        else:
            with pytest.raises(MethodNotOffered):
                get_offered(name, spec)
            with pytest.raises(MethodNotOffered):
                indexes[storage].scorer(name, None)


@pytest.mark.parametrize("name", [name for name in NAMES if "compact" in METHODS[name].storages])
def test_both_storages_say_the_same_where_codes_keep_everything(
    name: str, indexes: dict[str, HotIndex], problem: Problem
) -> None:
    points, places = points_of(problem), np.arange(ROWS)
    full, compact = (indexes[storage].scorer(name, None)(points).astype(np.float64) for storage in STORAGES)
    assert rank_correlations(full, compact).min() > 0.99
    parts = [
        indexes[storage].block_contributions(name, None, points, places, gradients_of(problem)) for storage in STORAGES
    ]
    for part, other in zip(*parts, strict=True):
        np.testing.assert_allclose(other, part, rtol=0, atol=0.01 * np.abs(full).max())


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].on_codes is not None])
def test_codes_of_another_metric_answer_no_method(name: str, problem: Problem) -> None:
    other: Metric = "gradient" if METHODS[name].metric == "optimizer" else "optimizer"
    with pytest.raises(MethodNotOffered, match=f"needs codes of metric '{METHODS[name].metric}'"):
        make_compact(problem, other).scorer(name, None)
    spec = IndexSpec(checkpoint_id="c", dataset_id="d", storage="compact", metric=other)
    with pytest.raises(MethodNotOffered, match=f"are of metric '{other}'"):
        get_offered(name, spec)


@each_method
@pytest.mark.parametrize("storage", STORAGES)
def test_self_influence_is_there_where_it_is_claimed_and_nowhere_else(
    name: str, storage: Storage, indexes: dict[str, HotIndex], problem: Problem
) -> None:
    method, index = METHODS[name], indexes[storage]
    if storage not in method.storages or not method.has_self_influence:
        with pytest.raises(MethodNotOffered):
            index.self_influence(name, None, slice(0, ROWS))
        return
    own = index.self_influence(name, None, slice(0, ROWS))
    assert own.min() > 0
    rows = {block: rows[:5] for block, rows in zip("0123", map(as_tensor, problem.train), strict=True)}
    on_all = index.scorer(name, None)(rows)
    np.testing.assert_allclose(own[:5], -np.diag(on_all[:, :5]), rtol=0.05)


@pytest.mark.parametrize(
    ("name", "storage"), [(name, kind) for name in NAMES for kind in sorted(METHODS[name].storages)]
)
def test_damping_changes_scores_where_the_method_has_a_default_and_nowhere_else(
    name: str, storage: Storage, indexes: dict[str, HotIndex], problem: Problem
) -> None:
    method = METHODS[name]
    default, other = (indexes[storage].scorer(name, scale)(points_of(problem)) for scale in (None, 0.37))
    is_damped = bool(np.abs(default - other).max() > 1e-6 * np.abs(default).max())
    assert is_damped == (method.default_damping_scale is not None)
    if is_damped:
        asked = indexes[storage].scorer(name, method.default_damping_scale)(points_of(problem))
        np.testing.assert_array_equal(asked, default)


@each_method
def test_kronecker_factors_are_needed_where_it_is_claimed_and_nowhere_else(name: str, problem: Problem) -> None:
    without = IndexSpec(checkpoint_id="c", dataset_id="d", storage="full")
    bare = make_full(problem, with_factors=False)
    if METHODS[name].needs_factors:
        with pytest.raises(MethodNotOffered):
            get_offered(name, without)
        with pytest.raises(MethodNotOffered):
            bare.scorer(name, None)
        return
    asked = get_offered(name, without).name
    full = make_full(problem, with_factors=True).scorer(asked, None)(points_of(problem))
    np.testing.assert_array_equal(bare.scorer(asked, None)(points_of(problem)), full)


@each_method
def test_a_method_that_passes_over_the_rows_many_times_says_so(
    name: str, indexes: dict[str, HotIndex], problem: Problem, passes: Counter[int]
) -> None:
    score = indexes["full"].scorer(name, None)
    passes.clear()
    score(points_of(problem))
    widest = max(passes)
    assert METHODS[name].is_iterative == (passes[widest] > MANY_PASSES), passes


@each_method
def test_the_stand_in_is_offered_where_the_method_is_not(name: str) -> None:
    method = METHODS[name]
    if method.stand_in is not None:
        stand_in = get_method(method.stand_in, "compact")
        assert not stand_in.needs_factors
        assert stand_in.name != name
    elif method.storages == {"full"} or method.needs_factors:
        pytest.fail(f"'{name}' is not offered everywhere and names no method to ask in its place")


def test_the_list_repeats_the_claims() -> None:
    described = {found.name: found for found in describe_methods() if not found.is_baseline}
    assert list(described) == list(METHODS)
    for name, found in described.items():
        method = METHODS[name]
        assert set(found.storages) == method.storages
        assert found.has_self_influence == method.has_self_influence
        assert found.default_damping_scale == method.default_damping_scale


@pytest.mark.parametrize(
    "choices",
    [
        correlation.DEFAULT_METHODS,
        mislabelled.DEFAULT_METHODS,
        class_attribution.DEFAULT_METHODS,
        lds.DEFAULT_METHODS,
        lds.INDEXED_METHODS,
        leave_out.DEFAULT_METHODS,
    ],
)
def test_what_experiments_compare_by_default_is_offered(choices: Any) -> None:
    for choice in choices:
        method = get_method(choice.method, choice.storage)
        assert choice.damping_scale is None or method.default_damping_scale is not None
