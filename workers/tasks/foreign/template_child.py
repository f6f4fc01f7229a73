"""The child: renders one conversation per line with transformers' sandboxed environment, and can do little else.

Run as a script. Reads {"template", "messages", "tools", "documents", "add_generation_prompt", "values"} as JSON lines,
answers {"parts": [[text, is the assistant's], ...]} or {"error": sentence}. Ends with its parent's pipe.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

_ROOM_BYTES = 512 << 20
_MOST_CHARACTERS = 16 << 20


def main() -> None:
    """Serve until the input ends."""
    _give_up_rights()
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"parts": _render(json.loads(line))}
        except MemoryError:
            answer = {"error": "it takes more memory than it may"}
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            answer = {"error": str(error).strip()[:200] or type(error).__name__}
        except RecursionError:
            answer = {"error": "it calls itself without end"}
        print(json.dumps(answer), flush=True)


def _give_up_rights() -> None:
    """No files to write, no processes, and only so much memory beyond what is loaded."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size = Path("/proc/self/statm")
    if size.is_file():
        most = int(size.read_text().split()[0]) * resource.getpagesize() + _ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _render(asked: dict[str, Any]) -> list[tuple[str, bool]]:
    messages = [{name: value for name, value in message.items() if value is not None} for message in asked["messages"]]
    texts, spans = render_jinja_template(
        conversations=[messages],
        tools=asked["tools"],
        documents=asked["documents"],
        chat_template=asked["template"],
        return_assistant_tokens_mask=asked["marks"],
        add_generation_prompt=asked["add_generation_prompt"],
        **asked["values"],
    )
    (text,) = texts
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("it writes too long a text")
    return _cut(text, spans[0] if spans else [])


def _cut(text: str, spans: list[tuple[int, int]]) -> list[tuple[str, bool]]:
    """The text in parts: the assistant's and the others."""
    parts, end = [], 0
    for start, stop in spans:
        parts += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    return [*parts, (text[end:], False)]


if __name__ == "__main__":
    main()
