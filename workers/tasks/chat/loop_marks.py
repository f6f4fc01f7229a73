"""Where each message stands in the one text that a chat template makes of a whole conversation.

Templates go through the messages in a loop. Each loop is made to write a mark before anything else, which the message
itself carries, and the marks are taken out again. What is left has to be the text that the template writes by itself:
only then are their places true.
"""

import re
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from workers.tasks.chat.conversation import Conversation
from workers.tasks.chat.writing import UnknownMask, write_text
from workers.tasks.encoding import Span, TextEncoder

#: The head of a loop with one name, and how its end treats the space behind it.
_LOOP = re.compile(r"\{%[-+]?\s*for\s+(?P<name>\w+)\s+in\b(?:(?!%\}).)*?(?P<end>[-+]?%\})", re.DOTALL)


class Places(list[tuple[int, int]]):
    """Numbers of messages and where each begins, in the order in which a loop came to them."""

    def of(self, place: int) -> int:
        """Where a message begins; 0 for one that the loop passes over."""
        return dict(self).get(place, 0)

    def block(self, place: int, text: str) -> Span:
        """All that the loop writes for one message, a header included."""
        return Span(self.of(place), min((start for other, start in self if other > place), default=len(text)))

    def writes(self, turns: Sequence[int]) -> bool:
        """Whether the loop comes to all these turns, to no message twice, and writes something for each."""
        forward = all(one < other for (one, _), (other, _) in pairwise(self))
        silent = any(one in turns and start == end for (one, start), (_, end) in pairwise(self))
        looks_on = len(self) > 1 and len({start for _, start in self}) == 1
        return forward and not silent and not looks_on and set(turns) <= {place for place, _ in self}


class LoopMarks:
    """Finds the first character of each message."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        # Nobody who writes a conversation or a template knows it.
        self._secret = secrets.token_hex(8)
        self._mark = re.compile(f"<{self._secret}:(\\d+):(\\d+)>")

    def read(self, conversation: Conversation, text: str, *, ask: bool = False) -> dict[str, Places]:
        """Where the messages begin in `text`, the conversation's own, by the loop that came to them and their number.

        Raises UnknownMask where the marks change what the template writes.
        """
        numbered = [{**message, self._field: place} for place, message in enumerate(conversation.messages)]
        written = write_text(self._encoder, replace(conversation, messages=numbered), ask=ask, edit=self._mark_loops)
        if self._mark.sub("", written) != text:
            raise UnknownMask("the chat template does not show where its turns begin")
        return self._by_loop(written)

    @property
    def _field(self) -> str:
        return f"place_{self._secret}"

    def _mark_loops(self, template: str) -> str:
        loops = iter(range(len(template)))

        def mark(head: re.Match[str]) -> str:
            name, end = head["name"], head["end"]
            place = f"<{self._secret}:{next(loops)}:{{{{ {name}['{self._field}'] }}}}>"
            # A block that ends as the loop's head does leaves the space behind it as it was.
            return f"{head[0]}{{% if {name} is mapping and '{self._field}' in {name} %}}{place}{{% endif {end}"

        return _LOOP.sub(mark, template)

    def _by_loop(self, written: str) -> dict[str, Places]:
        found: dict[str, Places] = defaultdict(Places)
        taken = 0
        for mark in self._mark.finditer(written):
            found[mark[1]].append((int(mark[2]), mark.start() - taken))
            taken += len(mark[0])
        return found


def choose_loop(loops: Mapping[str, Places], turns: Sequence[int]) -> str:
    """The one loop that writes the turns. Raises UnknownMask where none does, or several that disagree."""
    found = [name for name, places in loops.items() if places.writes(turns)]
    if not found or any(loops[name] != loops[found[0]] for name in found):
        raise UnknownMask("the chat template does not write the messages one after the other")
    return found[0]
