"""Methods by name, and what each says of itself."""

import pytest

from influence.errors import MethodNotOffered, UnknownMethod
from influence.methods.baselines import BASELINES
from influence.methods.registry import DEFAULT_METHOD, METHODS, describe_methods, find_method, get_method


def test_datainf_is_the_default_at_the_papers_damping() -> None:
    assert get_method(DEFAULT_METHOD).name == "datainf"
    assert get_method("datainf").default_damping_scale == 0.1


@pytest.mark.parametrize(
    ("typed", "meant"), [("data_inf", "datainf"), ("Exact", "exact"), ("hessian-free", "hessian_free")]
)
def test_an_unknown_method_is_answered_with_the_list_and_the_closest(typed: str, meant: str) -> None:
    with pytest.raises(UnknownMethod, match=f"no influence method '{typed}'") as refused:
        get_method(typed)
    assert f"Did you mean '{meant}'?" in refused.value.hint
    assert refused.value.extra["methods"] == list(METHODS)


def test_a_name_like_no_other_is_answered_with_the_list_alone() -> None:
    with pytest.raises(UnknownMethod) as refused:
        get_method("zzz")
    assert refused.value.hint.startswith("Methods are datainf, ")


def test_a_method_without_self_influence_says_so() -> None:
    with pytest.raises(MethodNotOffered, match="'cosine' has no self-influence"):
        METHODS["cosine"].self_influence(None)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_describes_itself(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert method.title
    assert method.summary.endswith(".")
    assert method.cost
    assert not method.is_baseline
    assert method.storages <= {"full", "compact"}
    assert method.default_damping_scale is None or method.default_damping_scale > 0


@pytest.mark.parametrize("name", ["ekfac", "lissa", "lissa-paper"])
def test_methods_that_codes_cannot_hold_are_refused_on_them(name: str) -> None:
    with pytest.raises(MethodNotOffered) as refusal:
        get_method(name, "compact")
    assert refusal.value.hint.startswith("Use 'exact' in its place")
    assert "storage 'full'" in refusal.value.hint
    offered = {
        "datainf",
        "exact",
        "proximal",
        "preconditioned",
        "joint",
        "hessian_free",
        "tracin",
        "cosine",
        "relative",
    }
    assert set(refusal.value.extra["methods"]) == offered


def test_a_baseline_is_found_on_any_storage_but_is_no_influence() -> None:
    for storage in ("full", "compact", None):
        assert find_method("embedding", storage) is BASELINES["embedding"]
    with pytest.raises(MethodNotOffered, match="a baseline, not an influence"):
        get_method("embedding")
    assert BASELINES["embedding"].note.startswith("Baseline, not an influence: cosine")


def test_an_unknown_name_may_have_meant_a_baseline() -> None:
    with pytest.raises(UnknownMethod) as refused:
        find_method("embeddings")
    assert "Did you mean 'embedding'?" in refused.value.hint


def test_the_list_marks_baselines() -> None:
    described = {method.name: method for method in describe_methods()}
    assert set(described) == {*METHODS, *BASELINES}
    assert [name for name, method in described.items() if method.is_baseline] == ["embedding"]
    assert described["datainf"].storages == ("full", "compact")
    assert {name for name, found in described.items() if found.on_codes == "exact"} == {
        "hessian_free",
        "tracin",
        "cosine",
    }
    assert all(
        (found.on_codes is None) == (name not in METHODS or METHODS[name].on_codes is None)
        for name, found in described.items()
    )
    assert described["lissa"].default_damping_scale == 1.0
