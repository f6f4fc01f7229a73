"""A tokenizer behind a lock, with a limit on tokens."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from influence.contracts.index import OnTooLong
from influence.errors import RowTooLong
from workers.tasks.foreign.dates import pin_date
from workers.tasks.foreign.panics import heed_panics
from workers.tasks.foreign.templates import GIVEN, TemplateProcess
from workers.tasks.refusals import refuse_rows

#: Stands for the words of a user.
_WORDS = "words-of-the-user"
#: Arguments of `apply_chat_template` that a template does not see.
_OF_THE_TOKENIZER = frozenset({"tokenize", "return_dict", "return_assistant_tokens_mask"})


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, stop) of a text."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def meets(self, other: "Span") -> bool:
        """Whether a character lies in both."""
        return max(self.start, other.start) < min(self.stop, other.stop)


@dataclass(frozen=True, slots=True)
class TokenisedText:
    """Token ids and, for each, the characters it stands for (empty for tokens the tokenizer added)."""

    ids: list[int]
    spans: list[Span] | None


@dataclass(frozen=True, slots=True)
class TokenisedWords:
    """Model inputs of one row; `words[t]` is the word that token t belongs to, None for those that the tokenizer added.

    `starts` has the place in the text where each word begins, by its number; empty where words came one by one.
    """

    inputs: dict[str, list[int]]
    words: list[int | None]
    starts: dict[int, int]
    was_cut: bool


class TextEncoder:
    """Turns text into ids, at most `limit` a row.

    Fast tokenizers keep their truncation setting in shared state and fail when two threads touch it: one lock.
    """

    def __init__(
        self, tokenizer: Any, *, limit: int, on_too_long: OnTooLong, templates: TemplateProcess | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.limit = limit
        self.on_too_long = on_too_long
        self._templates = templates
        self._lock = threading.Lock()
        self._lists_alone: dict[str, bool] = {}

    def encode_pairs(
        self, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> tuple[list[dict[str, list[int]]], list[bool]]:
        """Model inputs of each text (or pair), with the tokenizer's special tokens, and which were cut.

        Rows that are too long are cut in the way of the tokenizer, which keeps the special tokens.
        """
        with self._lock, heed_panics():
            found = self.tokenizer(list(texts), None if pairs is None else list(pairs), verbose=False)
            inputs = [{name: list(found[name][place]) for name in found} for place in range(len(texts))]
            cut = [len(row["input_ids"]) > self.limit for row in inputs]
            for place in (place for place, is_long in enumerate(cut) if is_long):
                short = self.tokenizer(
                    texts[place], None if pairs is None else pairs[place], truncation=True, max_length=self.limit
                )
                inputs[place] = {name: list(short[name]) for name in short}
        return inputs, cut

    def encode_words(self, row: Sequence[str] | str) -> TokenisedWords:
        """Words, or a text with the words that the tokenizer sees in it; cut to `limit` in the tokenizer's way."""
        how: dict[str, Any] = {"is_split_into_words": not isinstance(row, str), "return_offsets_mapping": True}
        given = row if isinstance(row, str) else list(row)
        with self._lock, heed_panics():
            found = self.tokenizer(given, verbose=False, **how)
            was_cut = len(found["input_ids"]) > self.limit
            if was_cut:
                found = self.tokenizer(given, truncation=True, max_length=self.limit, **how)
        words, offsets = found.word_ids(), found.pop("offset_mapping")
        starts: dict[int, int] = {}
        for word, (start, stop) in zip(words, offsets, strict=True):
            if word is not None and isinstance(row, str):
                # Some tokenizers count the space before a word to it.
                starts.setdefault(word, start + len(row[start:stop]) - len(row[start:stop].lstrip()))
        return TokenisedWords({name: list(found[name]) for name in found}, words, starts, was_cut)

    def encode_targets(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Ids of each text as the answer of an encoder-decoder, cut to `limit`, and which were cut."""
        if not texts:
            return [], []
        with self._lock, heed_panics():
            found = self.tokenizer(text_target=list(texts), verbose=False)["input_ids"]
            cut = [len(ids) > self.limit for ids in found]
            ids = [list(whole) for whole in found]
            for place in (place for place, is_long in enumerate(cut) if is_long):
                short = self.tokenizer(text_target=texts[place], truncation=True, max_length=self.limit)
                ids[place] = list(short["input_ids"])
        return ids, cut

    def target_spans(self, text: str) -> list[Span] | None:
        """The characters of each token of an encoder-decoder's answer, uncut; None where the tokenizer does not know
        them."""
        if not self.tokenizer.is_fast:
            return None
        with self._lock, heed_panics():
            found = self.tokenizer(text_target=text, return_offsets_mapping=True, verbose=False)
        return [Span(start, stop) for start, stop in found["offset_mapping"]]

    def pair_spans(self, text: str, pair: str | None) -> list[Span] | None:
        """The characters of each token that `encode_pairs` gives: in the text or, as if it stood on the line below, in
        its pair. None where the tokenizer does not know them."""
        if not self.tokenizer.is_fast:
            return None
        with self._lock, heed_panics():
            found = self.tokenizer(text, pair, return_offsets_mapping=True, verbose=False)
            if len(found["input_ids"]) > self.limit:
                found = self.tokenizer(text, pair, return_offsets_mapping=True, truncation=True, max_length=self.limit)
        shifts = [len(text) + 1 if sequence == 1 else 0 for sequence in found.sequence_ids(0)]
        return [
            Span(start + shift, stop + shift)
            for (start, stop), shift in zip(found["offset_mapping"], shifts, strict=True)
        ]

    def spell(self, ids: Sequence[int], text: str, spans: Sequence[Span] | None) -> tuple[str, ...]:
        """Tokens as people read them: their characters, or the text of those that have none."""
        found = spans or [Span(0, 0)] * len(ids)
        return tuple(
            text[span.start : span.stop] if len(span) else self.decode([token])
            for token, span in zip(ids, found, strict=True)
        )

    def encode(self, text: str, *, special_tokens: bool) -> TokenisedText:
        """Ids of one text, uncut, with the characters of each token where the tokenizer knows them."""
        with self._lock, heed_panics():
            found = self.tokenizer(
                text,
                add_special_tokens=special_tokens,
                return_offsets_mapping=bool(self.tokenizer.is_fast),
                verbose=False,
            )
        offsets = found.get("offset_mapping")
        spans = None if offsets is None else [Span(start, stop) for start, stop in offsets]
        return TokenisedText(list(found["input_ids"]), spans)

    def template_for(self, tools: Any = None) -> str:
        """The chat template that a conversation is rendered by; an empty text where there is none. A tokenizer may have
        one for conversations with tools."""
        if not self.tokenizer.chat_template:
            return ""
        return str(self.tokenizer.get_chat_template(None, tools))

    def reads_lists_alone(self, tools: Any = None) -> bool:
        """Whether the chat template writes nothing of a content that is a text, and the text of one that is a list, as
        some of multimodal models do."""
        template = self.template_for(tools)
        if template not in self._lists_alone:
            text, parts = ([{"role": "user", "content": one}] for one in (_WORDS, [{"type": "text", "text": _WORDS}]))
            self._lists_alone[template] = not self._writes_words(text) and self._writes_words(parts)
        return self._lists_alone[template]

    def _writes_words(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        try:
            return _WORDS in str(self.apply_template(messages, tokenize=False))
        except (jinja2.TemplateError, AttributeError, TypeError, IndexError, KeyError, ValueError):
            return False

    def apply_template(
        self, messages: Sequence[Mapping[str, Any]], edit: Callable[[str], str] | None = None, **how: Any
    ) -> Any:
        """What the tokenizer's chat template, changed by `edit`, makes of a conversation; `how` is the tokenizer's.

        A template that came with an upload is rendered in a process of its own. Raises jinja2.TemplateError.
        """
        template = pin_date(self.tokenizer.get_chat_template(None, how.get("tools")))
        template = template if edit is None else edit(template)
        if self._templates is not None:
            how = self._render_apart(self._templates, template, messages, how)
        else:
            how = {**how, "chat_template": template}
        with self._lock, heed_panics():
            return self.tokenizer.apply_chat_template(list(messages), **how)

    def _render_apart(
        self, templates: TemplateProcess, template: str, messages: Sequence[Mapping[str, Any]], how: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments with the conversation as it was rendered elsewhere."""
        kept = {name: value for name, value in how.items() if name in _OF_THE_TOKENIZER}
        seen = {name: value for name, value in how.items() if name not in _OF_THE_TOKENIZER}
        marks = bool(how.get("return_assistant_tokens_mask"))
        values = {**self.tokenizer.special_tokens_map, **seen}
        return {**kept, "chat_template": GIVEN, "parts": templates.render(template, messages, marks=marks, **values)}

    def refuse_long(self, row_ids: Sequence[str], cut: Sequence[bool]) -> None:
        """Raise RowTooLong naming the rows that were cut, where that is not wanted."""
        long = [row_id for row_id, is_long in zip(row_ids, cut, strict=True) if is_long]
        if long and self.on_too_long == "fail":
            refuse_rows(
                RowTooLong,
                long,
                f"longer than {self.limit} tokens",
                hint="Shorten them, raise max_length, or send on_too_long 'truncate'.",
            )

    def tokens(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The tokenizer's own spelling of each id."""
        with self._lock:
            return tuple(str(token) for token in self.tokenizer.convert_ids_to_tokens(list(ids)))

    def decode(self, ids: Sequence[int], *, special_tokens: bool = True) -> str:
        """Text of ids."""
        with self._lock:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=not special_tokens))
