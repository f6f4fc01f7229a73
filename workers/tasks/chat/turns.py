"""Characters of the assistant's turns in a conversation's text."""

from contextlib import suppress
from dataclasses import dataclass, replace

from workers.tasks.chat.contents import reworded
from workers.tasks.chat.conversation import Conversation
from workers.tasks.chat.loop_marks import LoopMarks, Places, choose_loop
from workers.tasks.chat.writing import UnknownMask, write_text
from workers.tasks.encoding import Span, TextEncoder

#: Stands for any turn of a user, to see what a template writes before a turn of the assistant.
_PROBE = {"role": "user", "content": "x"}

#: Stands for words of a message, to see what a template writes around them.
_WORDS = "words-of-the-assistant"


class TurnFinder:
    """Finds a turn from the end of its header to where the next message begins, exactly or not at all.

    A turn is what the template adds to the text when it is appended to what came before. Where a template writes turns
    differently once others follow, it is what stands in the whole conversation's text where the template's loop is at
    that turn.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._marks = LoopMarks(encoder)

    def shows_header(self, conversation: Conversation) -> bool:
        """Whether the template writes a header where it is asked for an answer."""
        return "add_generation_prompt" in self._encoder.template_for(conversation.context.get("tools"))

    def find(self, conversation: Conversation, place: int, text: str) -> Span:
        """Characters of one assistant turn in `text`, that of the whole conversation. Raises UnknownMask."""
        try:
            found = self._appended(conversation, place, text)
        except UnknownMask:
            # Templates may refuse a part of what they write as a whole.
            found = None
        return self._within(conversation, place, text) if found is None else found

    def behind_header(self, conversation: Conversation, place: int, text: str, turn: Span) -> Span:
        """The turn without the header that a template writes before it and does not show when it is asked to.

        Where the template shows one it is the turn as it is, and also where nothing stands before its words.
        """
        message = conversation.messages[place]
        if self.shows_header(conversation) or message.get("content") is None:
            return turn
        probe = self._write(conversation.until(place, reworded(message, _WORDS)))
        start = probe.find(_WORDS)
        if start < turn.start or probe[:start] != text[:start]:
            raise UnknownMask("the chat template does not show where the assistant's turn begins")
        return Span(start, turn.stop) if probe[turn.start : start].strip() else turn

    def _write(self, conversation: Conversation, *, ask: bool = False) -> str:
        return write_text(self._encoder, conversation, ask=ask)

    def _after(self, conversation: Conversation, place: int, text: str) -> str:
        """The text up to the end of a turn that others follow. Some templates end a whole conversation with EOS."""
        found = self._write(conversation.until(place + 1))
        return found if text.startswith(found) else found.removesuffix(self._encoder.tokenizer.eos_token or "")

    def _before(self, conversation: Conversation, place: int, after: str) -> str:
        """The text up to the end of a turn's header; `after` is the text up to the end of the turn."""
        if place > 0:
            try:
                return self._write(conversation.until(place), ask=True)
            except UnknownMask:
                # Some templates want a turn of the user before any other; what they write before one can be seen.
                return self._before_first(conversation, place, after)
        return self._before_first(conversation, place, after)

    def _before_first(self, conversation: Conversation, place: int, after: str) -> str:
        """The same where the template renders nothing that ends here: its header, after what any turn would have had
        before it."""
        other, header = self._write(conversation.until(place, _PROBE)), self._header(conversation.until(place))
        start = after.find(header)
        if not header or start < 0 or not other.startswith(after[:start]):
            raise UnknownMask("the chat template does not show where the assistant's first turn begins")
        return after[: start + len(header)]

    def _appended(self, conversation: Conversation, place: int, text: str) -> Span | None:
        """What the template adds for the turn; None where it changes what it wrote before."""
        is_last = place + 1 == len(conversation.messages)
        after = text if is_last else self._after(conversation, place, text)
        before = self._before(conversation, place, after)
        if not (text.startswith(after) and after.startswith(before)):
            return None
        return self.behind_header(conversation, place, text, Span(len(before), len(after)))

    def _within(self, conversation: Conversation, place: int, text: str) -> Span:
        """What the template writes while its loop is at the turn."""
        loops = self._marks.read(conversation, text)
        looped = _Looped(conversation, place, text, choose_loop(loops, conversation.turns()))
        places = loops[looped.loop]
        block = places.block(place, text)
        self._refuse_words_of_others(looped, text[block.start : block.stop])
        asked = conversation.until(place)
        start, shown = self._shown_before(looped, asked, places)
        same = _count_shared(shown, text[start:])
        if start + same < block.start:
            # The message before is written differently when an answer is asked for: its header alone can be compared.
            start, shown = block.start, self._header(asked)
            same = _count_shared(shown, text[start:])
        if same < len(shown):
            same = self._count_before_words(looped, block.start - start, shown[:same])
        if self.shows_header(conversation) and start == block.start and not shown:
            raise UnknownMask("the chat template does not show where the assistant's turn begins")
        return self._behind_written_header(looped, Span(start + same, block.stop))

    def _shown_before(self, looped: "_Looped", asked: Conversation, places: Places) -> tuple[int, str]:
        """Where the message before the turn begins, and what stands from there when the turn is asked for: some
        templates end a tool's answers with the next turn. The turn's place and header where that cannot be asked.
        """
        place = looped.place
        with suppress(UnknownMask):
            if place > 0 and asked.messages[-1]["role"] != "assistant":
                opened = self._write(asked, ask=True)
                before = self._marks.read(asked, opened, ask=True)[looped.loop]
                return places.of(place - 1), opened[before.of(place - 1) :]
        return places.of(place), self._header(asked)

    def _header(self, asked: Conversation) -> str:
        """What the template adds when it is asked for an answer, here or, where nobody may answer, to a user."""
        probe = asked.until(len(asked.messages), _PROBE)
        for question in (asked, probe):
            with suppress(UnknownMask):
                plain, opened = self._write(question), self._write(question, ask=True)
                if question.messages[-1:] and opened.startswith(plain) and question.messages[-1]["role"] != "assistant":
                    return opened.removeprefix(plain)
        raise UnknownMask("the chat template does not show where the assistant's turn begins")

    def _count_before_words(self, looped: "_Looped", before: int, shared: str) -> int:
        """How many characters of what the text shares with a question stand before any words of this turn, `before` of
        them before the turn."""
        probe, places, words = self._with_words(looped)
        start = places.of(looped.place) - before
        if not start <= words <= start + len(shared) or shared[: words - start] != probe[start:words]:
            raise UnknownMask("the chat template opens the assistant's turn in another way than it asks for one")
        return words - start

    def _behind_written_header(self, looped: "_Looped", turn: Span) -> Span:
        """As `behind_header`, from the whole conversation."""
        if self.shows_header(looped.conversation) or looped.conversation.messages[looped.place].get("content") is None:
            return turn
        probe, places, words = self._with_words(looped)
        header = probe[places.of(looped.place) : words]
        if not looped.text.startswith(header, turn.start):
            raise UnknownMask("the chat template does not show where the assistant's turn begins")
        return Span(turn.start + len(header), turn.stop) if header.strip() else turn

    def _with_words(self, looped: "_Looped") -> tuple[str, Places, int]:
        """The text with other words in the turn, where its messages begin, and where these words do."""
        text, places = self._reworded(looped, looped.place)
        block = places.block(looped.place, text)
        words = text.find(_WORDS, block.start, block.stop)
        if words < 0:
            raise UnknownMask("the chat template does not write the words of the assistant's turn")
        return text, places, words

    def _refuse_words_of_others(self, looped: "_Looped", written: str) -> None:
        """Some templates write what tools answered into the turn that called them."""
        messages, following = looped.conversation.messages, looped.place + 1
        if following == len(messages) or messages[following]["role"] in ("user", "assistant"):
            return
        text, places = self._reworded(looped, following)
        block = places.block(looped.place, text)
        if text[block.start : block.stop] != written:
            raise UnknownMask("the chat template writes words of other messages into the assistant's turn")

    def _reworded(self, looped: "_Looped", place: int) -> tuple[str, Places]:
        messages = list(looped.conversation.messages)
        messages[place] = reworded(messages[place], _WORDS)
        probe = replace(looped.conversation, messages=messages)
        text = self._write(probe)
        return text, self._marks.read(probe, text)[looped.loop]


@dataclass(frozen=True, slots=True)
class _Looped:
    """A turn of a conversation, the text of the whole, and the template's loop that writes it."""

    conversation: Conversation
    place: int
    text: str
    loop: str


def _count_shared(one: str, other: str) -> int:
    """Characters at the beginning of both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
