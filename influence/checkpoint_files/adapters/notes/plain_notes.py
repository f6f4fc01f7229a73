"""The plain text that trainers leave beside an adapter, as fields: JSON, YAML by the line, a model card.

Only single values are needed of any of it; what has another form says nothing.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import yaml

STATE_FILE = "trainer_state.json"
ARGUMENTS, SETTINGS, CARD = "args.json", "training_args.yaml", "README.md"
PARAMETERS = "training_params.json"
#: The files with the most bytes that each is read with: a larger one says nothing.
NOTE_FILES = {ARGUMENTS: 1 << 20, PARAMETERS: 1 << 20, SETTINGS: 1 << 20, CARD: 1 << 20, STATE_FILE: 8 << 20}
_TAG = re.compile(r"-\s*['\"]?([A-Za-z0-9_.:/-]{1,200})['\"]?")
_TAGS_INLINE = re.compile(r"tags:\s*\[([^\[\]]{0,2000})\]")
_SETTING = re.compile(r"([a-z_0-9]{1,64}):\s*([^\s#][^#]{0,200})(?:#.*)?")
_NESTED = re.compile(r"(?:-\s+)?([a-z_0-9]{1,64}):\s*([^#]{0,200}?)\s*(?:#.*)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None}
Found = TypeVar("Found")


def read_first(folder: Path, readers: Mapping[str, Callable[[str], Found | None]]) -> Found | None:
    """What the first of the files says, by its reader; None where none says anything."""
    return next((found for name in NOTE_FILES if (found := _read(folder / name, readers.get(name))) is not None), None)


def _read(file: Path, reader: Callable[[str], Found | None] | None) -> Found | None:
    if reader is None or not file.is_file() or file.stat().st_size > NOTE_FILES[file.name]:
        return None
    return reader(file.read_bytes().decode("utf-8", errors="replace"))


def load_object(content: str) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def load_lines(content: str) -> dict[str, Any]:
    """Fields of YAML that stand on a line of their own, not inside others."""
    lines = (_SETTING.fullmatch(line.rstrip()) for line in content.splitlines())
    return {line[1]: _scalar(line[2]) for line in lines if line}


def load_text(content: str, name: str) -> str | None:
    """One text of YAML's outermost fields, on however many lines it is written; None where it is none.

    Only the lines of that field are parsed.
    """
    lines = content.splitlines(keepends=True)
    first = next((place for place, line in enumerate(lines) if line.startswith(f"{name}:")), None)
    if first is None:
        return None
    rest = takewhile(lambda line: line[:1] in " \t\n\r-", lines[first + 1 :])
    try:
        found = yaml.safe_load(lines[first] + "".join(rest))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None


def list_tags(card: str) -> Iterator[str]:
    """What a model card is tagged with, in lower case."""
    opening = card.split("\n---", 1)[0] if card.startswith("---") else ""
    for line in opening.splitlines():
        if inline := _TAGS_INLINE.fullmatch(line.strip()):
            yield from (tag.strip(" '\"").lower() for tag in inline[1].split(","))
        if found := _TAG.fullmatch(line.strip()):
            yield found[1].lower()


def load_block(card: str) -> dict[str, Any]:
    """Fields of the YAML in which a card quotes its trainer's settings (Axolotl)."""
    _, _, quoted = card.partition("axolotl")
    _, opened, rest = quoted.partition("```yaml")
    return load_lines(rest.partition("```")[0]) if opened else {}


def list_nested(card: str, name: str) -> Iterator[str]:
    """What the quoted YAML says of a field wherever it stands, each time as text: a value, or a list's own lines."""
    _, _, quoted = card.partition("axolotl")
    lines = [line.strip() for line in quoted.partition("```yaml")[2].partition("```")[0].splitlines()]
    for place, line in enumerate(lines):
        found = _NESTED.fullmatch(line)
        if found is not None and found[1] == name:
            listed = takewhile(lambda item: item.startswith("- ") and ":" not in item, lines[place + 1 :])
            yield found[2] or ", ".join(item.removeprefix("- ").strip() for item in listed)


def load_bullets(card: str) -> dict[str, Any]:
    """Hyperparameters that a card lists one by one (transformers)."""
    _, _, listed = card.partition("### Training hyperparameters")
    bullets = (line.strip().removeprefix("- ") for line in listed.splitlines() if line.lstrip().startswith("- "))
    return load_lines("\n".join(bullets))


def short_number(value: float) -> str:
    """A number for a sentence, of whatever size: whole ones in JSON may be beyond any float."""
    return f"{value:g}" if not isinstance(value, int) or abs(value) < 1 << 63 else "beyond all bounds"


def _scalar(text: str) -> Any:
    """A value of YAML as far as it is needed: a number, true, false, null, or the text itself."""
    bare = text.strip().strip("'\"")
    if bare.lower() in _WORDS:
        return _WORDS[bare.lower()]
    try:
        return float(bare)
    except ValueError:
        return bare
