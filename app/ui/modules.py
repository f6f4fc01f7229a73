"""The page's modules as they go out: those that always come together as one, for a browser pays for each it fetches.

Two are fetched for a view: `app.js`, which holds what every view needs, and the view with what it alone needs. In the
folder each stays a file of its own, which a browser could load as it is: nothing is built or written.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = r"""["'](\.{1,2}/[\w./-]+\.js)["']"""
_IMPORT = re.compile(rf"^import \{{([^}}]*)\}} from {_FILE};\n", re.MULTILINE)
_PASSED_ON = re.compile(rf"^export \* from {_FILE};\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
#: Whatever else a module may import or export by, which is not known here.
_OTHER = re.compile(r"^(?:import\b(?!\()|export\b).*", re.MULTILINE)
#: A line of the router's table: the pattern of an address, and the module in `views` that shows it.
_ROUTED = re.compile(r"""^\s*["'](/[\w/:]*)["']: ["'](\w+)["'],$""", re.MULTILINE)
_PARAMETER = re.compile(r":\w+")
START, KIT = "app.js", "kit.js"


@dataclass(frozen=True)
class Module:
    """A file of the folder: what it imports, `(names, path)`, passes on and exports, and the rest of its text."""

    path: str
    imports: tuple[tuple[tuple[str, ...], str], ...]
    passed_on: tuple[str, ...]
    exports: tuple[str, ...]
    body: str

    @property
    def below(self) -> tuple[str, ...]:
        """The modules that have to be there before."""
        return (*(named for _, named in self.imports), *self.passed_on)


def find_modules(static: Path) -> Callable[[str], tuple[str, ...]]:
    """A function from a path below `/ui` to the modules of its view, as paths below `static`.

    They are read now, once. What is no view's path needs `app.js` alone.
    """
    views = {
        re.compile(_PARAMETER.sub("[A-Za-z0-9_-]+", pattern).rstrip("/") + "/?"): (START, f"views/{view}.js")
        for pattern, view in _ROUTED.findall((static / "router.js").read_text())
    }
    return lambda path: next((found for pattern, found in views.items() if pattern.fullmatch(path)), (START,))


def join_modules(static: Path) -> dict[str, str]:
    """The modules of a folder that go out, by their paths. Raises ValueError for one that cannot be joined."""
    modules = {path.relative_to(static).as_posix(): _read_module(path, static) for path in sorted(static.rglob("*.js"))}
    shared = _in_order([KIT, START] if KIT in modules else [START], modules, frozenset())
    views = [path for path in modules if path.startswith("views/")]
    return {START: _join_shared(shared, modules)} | {
        view: _join_view(view, modules, frozenset(shared)) for view in views
    }


def _read_module(path: Path, static: Path) -> Module:
    text, own = path.read_text(), path.relative_to(static).as_posix()

    def resolve(named: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(own), named))

    imports = tuple(
        (tuple(name for name in re.split(r"[,\s]+", names) if name), resolve(named))
        for names, named in _IMPORT.findall(text)
    )
    passed_on = tuple(map(resolve, _PASSED_ON.findall(text)))
    exports = tuple(_EXPORT.findall(text))
    body = _EXPORT.sub("", _PASSED_ON.sub("", _IMPORT.sub("", text)))
    if other := _OTHER.search(body):
        raise ValueError(f"{own}: '{other[0]}' is no way to import or export that can be joined")
    return Module(own, imports, passed_on, exports, body)


def _in_order(roots: list[str], modules: Mapping[str, Module], known: frozenset[str]) -> list[str]:
    """The roots and all that they import and that is not known, each behind what it imports."""
    found: list[str] = []

    def add(path: str, above: tuple[str, ...]) -> None:
        if path in above:
            raise ValueError(f"{path} imports itself by way of {', '.join(above)}")
        module = modules[path]
        if path != KIT and KIT in module.below and KIT not in known:
            raise ValueError(f"{path} goes out with {KIT} and has to name the modules that it takes from")
        for below in module.below:
            if below not in known and below not in found:
                add(below, (*above, path))
        found.append(path)

    for root in roots:
        if root not in found:
            add(root, ())
    return found


def _join_shared(order: list[str], modules: Mapping[str, Module]) -> str:
    """`app.js`: every module that all views need, and the names of all of them."""
    names = [name for path in order for name in modules[path].exports]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"more than one module of {START} exports {', '.join(sorted(twice))}")
    exported = [f"export const {_braced(modules[path].exports)} = {_name(path)};" for path in order]
    pieces = [_enclose(modules[path], frozenset()) for path in order if modules[path].body.strip()]
    kept = [line for path, line in zip(order, exported, strict=True) if modules[path].exports]
    return "\n".join([*pieces, *kept, ""])


def _join_view(view: str, modules: Mapping[str, Module], shared: frozenset[str]) -> str:
    """A view with what it alone imports; it takes the rest from `app.js`."""
    order = _in_order([view], modules, shared)
    taken = {name for path in order for names, named in modules[path].imports if named in shared for name in names}
    if taken - {name for path in shared for name in modules[path].exports}:
        raise ValueError(f"{view} imports what {START} does not export")
    pieces = [_enclose(modules[path], shared) for path in order]
    start = posixpath.relpath(START, posixpath.dirname(view))
    exported = f"export const {_braced(modules[view].exports)} = {_name(view)};"
    return "\n".join([f'import {_braced(sorted(taken))} from "{start}";', *pieces, exported, ""])


def _enclose(module: Module, outside: frozenset[str]) -> str:
    """A module as an expression, so that its own names stay its own."""
    taken = [f"const {_braced(names)} = {_name(named)};" for names, named in module.imports if named not in outside]
    returned = f"return {_braced(module.exports)};"
    return "\n".join([f"const {_name(module.path)} = (() => {{", *taken, module.body.strip(), returned, "})();"])


def _name(path: str) -> str:
    """What a module's exports are kept under where it goes out with others."""
    return re.sub(r"\W", "_", path)


def _braced(names: Iterable[str]) -> str:
    return f"{{ {', '.join(names)} }}"
