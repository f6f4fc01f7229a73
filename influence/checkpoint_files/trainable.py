"""Parts of a plain model, named by patterns: which tensors are meant. No adapter is needed to take gradients of them.

A pattern is the whole name of a module or parameter; * stands for any characters, dots included, and ? for one. A
module stands for everything inside it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.contracts.checkpoint import MAX_PATTERNS
from influence.errors import InvalidRequest, NothingTrainable

MAX_PATTERN_CHARACTERS = 256
#: No brackets: they mean a set of characters to fnmatch.
_PATTERN = re.compile(r"[A-Za-z0-9_\-.*?]+")
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_HINT = "Patterns are module names with * and ?, for example 'classifier' or '*.layer.11'."


def normalise_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Each pattern once, in the order of names: their order means nothing. Raises InvalidRequest."""
    found = tuple(sorted(set(patterns)))
    if not 0 < len(found) <= MAX_PATTERNS:
        raise InvalidRequest(f"'trainable' has {len(found)} patterns; it takes 1 to {MAX_PATTERNS}.", hint=_HINT)
    for pattern in found:
        if len(pattern) > MAX_PATTERN_CHARACTERS or not _PATTERN.fullmatch(pattern):
            raise InvalidRequest(f"'trainable' holds {pattern[:80]!r}, which is no pattern of names.", hint=_HINT)
    return found


def fits(name: str, pattern: str) -> bool:
    """Whether the parameter or a module around it has this name; the whole name must fit."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))


def refuse_unmatched(pattern: str, modules: Iterable[str]) -> NothingTrainable:
    """What to raise for a pattern that fits nothing; `modules` are the model's outermost ones."""
    listed = list(dict.fromkeys(modules))[:100]
    return NothingTrainable(
        f"No module or parameter of the model is called '{pattern}'.",
        hint=f"{_HINT} The model's outermost modules: {', '.join(listed[:20])}.",
        extra={"pattern": pattern, "modules": listed},
    )


def match_tensors(
    patterns: Sequence[str], header: Mapping[str, TensorInfo], names: LayerNames | None = None
) -> dict[str, TensorInfo]:
    """The floating-point tensors of a model's files that the patterns mean. Raises NothingTrainable.

    Patterns may speak of layers by their `names` now or formerly. A file's names may lack the outermost module's or
    have it in excess; the worker, which knows the loaded model's names, has the last word.
    """
    floats = {name: info for name, info in header.items() if info.dtype in _FLOATS}
    found = dict[str, TensorInfo]()
    for pattern in patterns:
        meant = {name: info for name, info in floats.items() if _is_meant(name, pattern, names or LayerNames(None))}
        if not meant:
            raise refuse_unmatched(pattern, (name.partition(".")[0] for name in header))
        found |= meant
    return found


def _is_meant(name: str, pattern: str, names: LayerNames) -> bool:
    return any(_may_fit(spelling, pattern) for spelling in {names.current(name), names.former(name)})


def _may_fit(name: str, pattern: str) -> bool:
    """Whether a file's name fits as it stands, inside the pattern's outermost module, or without its own."""
    outermost, _, rest = pattern.partition(".")
    spellings = [name, *([f"{outermost}.{name}"] if rest else []), *name.split(".", 1)[1:]]
    return any(fits(spelling, pattern) for spelling in spellings)
