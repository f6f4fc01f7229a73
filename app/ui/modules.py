"""Which modules every view of the page needs: a browser told of them fetches them at once, not import by import."""

import re
from pathlib import Path

#: The module in `import … from "./x.js"`, `export … from "./x.js"` and `import "./x.js"`. A view is imported by a call.
_IMPORTED = re.compile(r"""^(?:import|export)\b[^"';]*["'](\.{1,2}/[\w./-]+\.js)["']""", re.MULTILINE)


def list_shared_modules(static: Path) -> tuple[str, ...]:
    """Paths below `static` of what `app.js` imports, and of what each module of `views` imports; sorted."""
    views = [find_imports(view) for view in sorted((static / "views").glob("*.js"))]
    shared = find_imports(static / "app.js").union(set[Path]().union(*views[:1]).intersection(*views))
    return tuple(sorted(module.relative_to(static).as_posix() for module in shared))


def find_imports(module: Path) -> set[Path]:
    """The modules that come with one, itself among them. Raises OSError where one is not there."""
    found, open_ends = set[Path](), [module.resolve()]
    while open_ends:
        one = open_ends.pop()
        if one not in found:
            found.add(one)
            open_ends += [(one.parent / name).resolve() for name in _IMPORTED.findall(one.read_text())]
    return found
