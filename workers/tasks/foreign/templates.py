"""The parent's side: conversations to a child that has a deadline, and their parts back."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

#: Renders what the child made, so that the tokenizer itself marks the assistant's part.
GIVEN = (
    "{% for text, is_assistants in parts %}{% if is_assistants %}{% generation %}{{ text }}{% endgeneration %}"
    "{% else %}{{ text }}{% endif %}{% endfor %}"
)
SECONDS = 10.0
#: Loading the child's libraries takes seconds on a busy machine.
_START_SECONDS = 120.0
#: What of the parent's environment the child sees: where its libraries lie, and no secret.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "HOME", "LD_LIBRARY_PATH")


class TemplateFailed(jinja2.TemplateError):
    """The template cannot be rendered within its bounds."""


class TemplateProcess:
    """A child that is started when it is first asked. After one answer that never came it is not asked again."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._waiting = b""
        self._failed = False
        self._lock = threading.Lock()

    def render(self, template: str, messages: Sequence[Mapping[str, Any]], **asked: Any) -> list[tuple[str, bool]]:
        """Text of a conversation in parts, each with whether it is the assistant's. Raises TemplateFailed.

        `asked` are the other arguments of transformers' `apply_chat_template` that a template sees.
        """
        request = {
            "template": template,
            "messages": list(messages),
            "tools": asked.pop("tools", None),
            "documents": asked.pop("documents", None),
            "add_generation_prompt": asked.pop("add_generation_prompt", False),
            "marks": asked.pop("marks", False),
            "values": asked,
        }
        with self._lock:
            answer = self._ask(json.dumps(request).encode() + b"\n")
        if "error" in answer:
            raise TemplateFailed(answer["error"])
        return [(text, marked) for text, marked in answer["parts"]]

    def _ask(self, line: bytes) -> dict[str, Any]:
        if self._failed:
            raise TemplateFailed("it did not end before")
        is_new = self._child is None
        child = self._child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(line)
            child.stdin.flush()
            answer = self._read_line(child, SECONDS + (_START_SECONDS if is_new else 0))
        except (BrokenPipeError, TimeoutError) as error:
            self._failed = True
            _end(child)
            raise TemplateFailed("it does not end, or takes more memory than it may") from error
        found: dict[str, Any] = json.loads(answer)
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("template_child.py")
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        child = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "HF_HUB_OFFLINE": "1"},
        )
        weakref.finalize(self, _end, child)
        return child

    def _read_line(self, child: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert child.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._waiting:
            ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(child.stdout.fileno(), 1 << 20) if ready else b""
            if not ready:
                raise TimeoutError
            if not piece:
                raise BrokenPipeError
            self._waiting += piece
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    with contextlib.suppress(OSError):
        child.communicate()
