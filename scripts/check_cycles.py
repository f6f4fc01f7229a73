"""Fail where modules import each other in a circle, imports inside functions and for types included."""

import sys
from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PACKAGES = ("influence", "app", "workers", "cli", "demo", "benchmarks", "datainf_client")


def find_cycle(imports: Mapping[str, Set[str]]) -> list[str]:
    """Modules that import each other, from one back to itself, of a graph that has for each module what it imports.
    Empty where there are none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules[::-1]
    return []


def main() -> int:
    """Name a circle and end with 1, or end with 0."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    graph = grimp.build_graph(*PACKAGES)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    if cycle := find_cycle(imports):
        print("Imports run in a circle: " + " -> ".join(cycle))
        return 1
    print(f"No imports of {len(imports):,} modules run in a circle.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
