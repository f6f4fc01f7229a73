"""The chat templates beside an adapter, in whichever of the files that versions of transformers write them to.

chat_template.jinja, with others by name in the folder additional_chat_templates beside it; before that the field of
tokenizer_config.json, one template or a list by name; before that chat_template.json, which processors still write.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from influence.checkpoint_files.tokenizers.refusal import refuse_file
from influence.checkpoint_files.tokenizers.template import check_template

TEMPLATE, OLD_TEMPLATE, CONFIG = "chat_template.jinja", "chat_template.json", "tokenizer_config.json"
MAX_TEMPLATE_BYTES = 1 << 20
_NAMED_FOLDER = "additional_chat_templates"
_NAMED = re.compile(r"([A-Za-z0-9_\-]{1,64})\.jinja")
#: How a template of that folder is called once it lies beside the others.
_KEPT = re.compile(r"chat_template\.([A-Za-z0-9_\-]{1,64})\.jinja")
_MAX_NAMED = 16


def choose_named(folder: str, paths: set[str]) -> dict[str, str]:
    """Templates by name among relative paths of an upload, those of one folder: plain name -> path."""
    inside = f"{folder}/{_NAMED_FOLDER}" if folder else _NAMED_FOLDER
    found = {
        f"chat_template.{match[1]}.jinja": path
        for path in sorted(paths)
        if str(PurePosixPath(path).parent) == inside and (match := _NAMED.fullmatch(PurePosixPath(path).name))
    }
    return dict(list(found.items())[:_MAX_NAMED])


def find_named(folder: Path) -> dict[str, Path]:
    """Name of the template -> file, of an upload that was unpacked or of a model's own folder."""
    places = ((folder, _KEPT), (folder / _NAMED_FOLDER, _NAMED))
    found = [(form, file) for place, form in places if place.is_dir() for file in sorted(place.iterdir())]
    return {match[1]: file for form, file in found if (match := form.fullmatch(file.name))}


def mentions_template(folder: Path) -> bool:
    """Whether a model's folder has a chat template at all, or may have one: nothing is parsed."""
    if find_named(folder) or any((folder / name).is_file() for name in (TEMPLATE, OLD_TEMPLATE)):
        return True
    config = folder / CONFIG
    return config.is_file() and b'"chat_template"' in config.read_bytes()


def choose_template(
    folder: Path, config: Mapping[str, Any], named: Mapping[str, Path], read_old: Callable[[], Mapping[str, Any]]
) -> str | dict[str, str] | None:
    """The chat template, or several by name, by the order in which transformers looks for one; checked but not run.

    `read_old` is asked for chat_template.json where nothing else says. Raises TokenizerRefused.
    """
    if (folder / TEMPLATE).is_file() or named:
        usual = {"default": _read_text(folder / TEMPLATE)} if (folder / TEMPLATE).is_file() else {}
        found: Any = {**usual, **{name: _read_text(file) for name, file in named.items()}}
        found, name = found["default"] if found.keys() == {"default"} else found, TEMPLATE
    elif config.get("chat_template"):
        found, name = config["chat_template"], CONFIG
    else:
        found, name = read_old().get("chat_template"), OLD_TEMPLATE
    if isinstance(found, list):
        found = {str(item.get("name")): item.get("template") for item in found if isinstance(item, dict)}
    for template in found.values() if isinstance(found, dict) else [found] if found else []:
        check_template(template, name)
    return found or None


def _read_text(file: Path) -> str:
    if file.stat().st_size > MAX_TEMPLATE_BYTES:
        raise refuse_file(file.name, "has more than 1 MiB")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise refuse_file(file.name, "is not UTF-8 text") from error
