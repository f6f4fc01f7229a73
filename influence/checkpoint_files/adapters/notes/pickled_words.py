"""Plain words of a pickle that nobody loads: names followed by single values, as pickletools lists the opcodes.

`training_args.bin` is where transformers' Trainer, and all that is built on it, keeps its settings. Unpickling would
run whatever a stranger wrote into it. Listing opcodes runs nothing, and of what is listed only single values are taken.
"""

import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import dropwhile, pairwise, takewhile
from pathlib import Path
from typing import Any

#: The most bytes that are listed; such files have about six thousand.
_MAX_BYTES = 256 << 10
_PICKLE = "/data.pkl"
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, ValueError, LookupError, OverflowError)
_UNREADABLE = (*_BROKEN, OSError, EOFError, RuntimeError)
_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
_CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False, "NONE": None}
_SINGLE = ("word", "value")
_OF_LISTS = {"EMPTY_LIST": "list", "MARK": "mark", "APPEND": "filled", "APPENDS": "filled", "TUPLE1": "one"}
#: How a member of an enumeration is made: its class, and the one value that names it.
_MEMBER = ("class", "word", "one")
_MAX_LISTED = 16
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE"})
_KEEPS = frozenset({"BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})


@dataclass(frozen=True, slots=True)
class PickledWords:
    """`made_of` is the first class that is named, as `module.Class`; `fields` are texts with the single value, the
    list of single values, or the enumeration's member that follows each; what is followed by anything else is not
    there."""

    made_of: str
    fields: Mapping[str, Any]


def list_words(file: Path) -> PickledWords | None:
    """The words of a file that `torch.save` wrote; None where it is none, too long, or broken."""
    try:
        with zipfile.ZipFile(file) as opened:
            found = [info for info in opened.infolist() if info.filename.endswith(_PICKLE)]
            if len(found) != 1 or found[0].file_size > _MAX_BYTES or found[0].compress_type != zipfile.ZIP_STORED:
                return None
            return _of_steps([*_list_steps(opened.read(found[0]))])
    except _UNREADABLE:
        return None


def _of_steps(steps: list[tuple[str, Any]]) -> PickledWords | None:
    """Of each text the first value that follows it: what comes later is of objects inside."""
    fields: dict[str, Any] = {}
    for place, ((kind, name), (follows, value)) in enumerate(pairwise(steps)):
        if kind == "word" and follows in _SINGLE:
            fields.setdefault(name, value)
        elif kind == "word" and follows == "list" and (listed := _listed(steps[place + 2 :])) is not None:
            fields.setdefault(name, listed)
        elif kind == "word" and tuple(step[0] for step in steps[place + 1 : place + 4]) == _MEMBER:
            fields.setdefault(name, steps[place + 2][1])
    made_of = next((name for kind, name in steps if kind == "class"), None)
    return None if made_of is None else PickledWords(made_of, fields)


def _listed(steps: list[tuple[str, Any]]) -> list[Any] | None:
    """Single values that are put into a list that was just made; None where others are, or none at all."""
    rest = [*dropwhile(lambda step: step[0] == "mark", steps[: _MAX_LISTED + 2])]
    values = [*takewhile(lambda step: step[0] in _SINGLE, rest)]
    is_whole = len(values) < len(rest) and rest[len(values)][0] == "filled"
    return [value for _, value in values] if values and is_whole else None


def _list_steps(content: bytes) -> Iterator[tuple[str, Any]]:
    """What a pickle pushes: texts, values, classes, and others; texts that it takes up again, too."""
    kept: dict[int, Any] = {}
    last: tuple[str, Any] = ("other", None)
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _KEEPS:
            kept[len(kept) if argument is None else int(argument)] = last
            continue
        last = kept.get(int(argument or 0), ("other", None)) if opcode.name in _GETS else _step(opcode.name, argument)
        yield last


def _step(name: str, argument: Any) -> tuple[str, Any]:
    if name in _TEXTS:
        return "word", argument
    if name in _CONSTANTS:
        return "value", _CONSTANTS[name]
    if name in _NUMBERS:
        return "value", argument
    if name == "GLOBAL":
        return "class", str(argument).replace(" ", ".")
    return _OF_LISTS.get(name, "other"), None
