"""What methods prepared from an index is made once and let go in order."""

import pytest

from influence.errors import MethodNotOffered
from workers.runtime.prepared_methods import PreparedMethods


def refuse() -> str:
    raise MethodNotOffered("not here")


def test_the_state_not_used_for_longest_goes_first() -> None:
    prepared, made = PreparedMethods[str](2), list[str]()

    def ask(method: str, damping_scale: float | None) -> str:
        name = f"{method} {damping_scale}"
        return prepared.get(method, damping_scale, lambda: made.append(name) or name)

    for damping in (0.1, 0.5, 0.1, None, 0.1):
        assert ask("exact", damping) == f"exact {damping}"
    assert made == ["exact 0.1", "exact 0.5", "exact None"]
    assert len(prepared) == 2
    ask("exact", 0.5)
    assert made[3:] == ["exact 0.5"]


def test_what_is_not_to_be_kept_is_made_and_puts_nothing_out() -> None:
    prepared = PreparedMethods[str](1)
    assert prepared.get("exact", 0.1, lambda: "kept") == "kept"
    assert prepared.get("exact", 0.5, lambda: "passing", keep=False) == "passing"
    assert prepared.get("exact", 0.1, refuse, keep=False) == "kept"
    assert prepared.get("exact", 0.1, refuse) == "kept"


def test_a_state_that_cannot_be_made_is_not_kept() -> None:
    prepared = PreparedMethods[str](2)
    with pytest.raises(MethodNotOffered):
        prepared.get("ekfac", None, refuse)
    assert len(prepared) == 0
    assert prepared.get("ekfac", None, lambda: "made later") == "made later"
