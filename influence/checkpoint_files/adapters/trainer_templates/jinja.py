"""Pieces of chat templates."""

import json
import re
from collections.abc import Mapping

#: Comments of Jinja at which a piece begins that the trainer encoded apart: any, one with loss, one without, and a part
#: of an answer without, wherever the loss falls.
APART, WITH_LOSS, WITHOUT_LOSS, MUTED = "{#apart#}", "{#with loss#}", "{#without loss#}", "{#muted#}"
_PIECES = re.compile(r"\{(|bos|eos)\}")
_NAMES = {"{}": "content", "{bos}": '(bos_token or "")', "{eos}": '(eos_token or "")'}


def expression(text: str, words: str = "content") -> str:
    """Text with its placeholders as an expression of Jinja: `{}` stands for `words`, `{bos}` and `{eos}` for tokens."""
    names: Mapping[str, str] = {**_NAMES, "{}": words}
    parts: list[str] = []
    place = 0
    for found in _PIECES.finditer(text):
        parts += [quoted(text[place : found.start()]), names[found[0]]]
        place = found.end()
    return " + ".join(part for part in (*parts, quoted(text[place:])) if part != '""') or '""'


def refusal(reason: str) -> str:
    """A statement that refuses the conversation."""
    return f"{{{{ raise_exception({quoted(reason)}) }}}}"


def quoted(text: str) -> str:
    """Text as a literal of Jinja."""
    return json.dumps(text, ensure_ascii=False)


def with_system_prompt(template: str, system: str) -> str:
    """A chat template that begins conversations without a system prompt with this one."""
    return (
        "{% if messages and messages[0]['role'] != 'system' %}"
        f"{{% set messages = [{{'role': 'system', 'content': {quoted(system)}}}] + messages %}}{{% endif %}}{template}"
    )


def with_joined_contents(template: str) -> str:
    """A chat template that takes no content in parts: those who asked write it as one text then."""
    return (
        "{% if messages|selectattr('content', 'defined')|map(attribute='content')|select('sequence')"
        f"|reject('string')|list %}}{refusal('training joined contents in parts')}{{% endif %}}{template}"
    )
