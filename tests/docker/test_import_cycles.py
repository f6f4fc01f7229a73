"""Lint names imports that run in a circle, however long it is."""

from itertools import pairwise

import pytest

from scripts.check_cycles import find_cycle


def test_imports_that_run_down_are_none() -> None:
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("length", [2, 3, 7])
def test_a_circle_is_named_from_one_module_back_to_itself(length: int) -> None:
    imports = {f"m{at}": {f"m{(at + 1) % length}", "below"} for at in range(length)}
    found = find_cycle({"above": {"m0"}, **imports, "below": set()})
    assert found[0] == found[-1]
    assert sorted(found[:-1]) == sorted(imports)
    assert all(imported in imports[module] for module, imported in pairwise(found))
