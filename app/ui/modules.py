"""Which modules each view of the page needs: a browser told of them fetches them at once, not import by import."""

import re
from collections.abc import Callable
from pathlib import Path

#: The module in `import … from "./x.js"`, `export … from "./x.js"` and `import "./x.js"`. A view is imported by a call.
_IMPORTED = re.compile(r"""^(?:import|export)\b[^"';]*["'](\.{1,2}/[\w./-]+\.js)["']""", re.MULTILINE)
#: A line of the router's table: the pattern of an address, and the module in `views` that shows it.
_ROUTED = re.compile(r"""^\s*["'](/[\w/:]*)["']: ["'](\w+)["'],$""", re.MULTILINE)
_PARAMETER = re.compile(r":\w+")


def find_modules(static: Path) -> Callable[[str], tuple[str, ...]]:
    """A function from a path below `/ui` to the modules of its view, as sorted paths below `static`.

    They are read now, once. What is no view's path needs `app.js` and what it imports.
    """
    start = _find_imports(static / "app.js")
    views = {
        re.compile(_PARAMETER.sub("[A-Za-z0-9_-]+", pattern).rstrip("/") + "/?"): start
        | _find_imports(static / "views" / f"{view}.js")
        for pattern, view in _ROUTED.findall((static / "router.js").read_text())
    }

    def name_modules(path: str) -> tuple[str, ...]:
        modules = next((found for pattern, found in views.items() if pattern.fullmatch(path)), start)
        return tuple(sorted(module.relative_to(static).as_posix() for module in modules))

    return name_modules


def _find_imports(module: Path) -> set[Path]:
    """The modules that come with one, itself among them. Raises OSError where one is not there."""
    found, open_ends = set[Path](), [module.resolve()]
    while open_ends:
        one = open_ends.pop()
        if one not in found:
            found.add(one)
            open_ends += [(one.parent / name).resolve() for name in _IMPORTED.findall(one.read_text())]
    return found
