"""From spans to tags and back, by what the head's classes are called: plain names, or B- and I- before them."""

from collections.abc import Mapping, Sequence
from typing import Any

from influence.rows.label_forms.tag_names import marks_ends

_OUTSIDE = "O"


class UnknownScheme(Exception):
    """The names of the classes do not say how spans were written as tags. The task turns it into a refusal of rows."""


class TagScheme:
    """Spans as tags. A word belongs to the span that holds its first character.

    Raises UnknownScheme for classes without names, without one for words outside any span, or that mark the ends of
    spans, too (BILOU, BIOES).
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self._names = frozenset(names or ())
        if _OUTSIDE not in self._names:
            raise UnknownScheme(f"the checkpoint has no class {_OUTSIDE!r} for words outside the spans")
        if marks_ends(self._names):
            raise UnknownScheme("the checkpoint's classes mark the ends of spans, too: send words with their tags")

    def write(self, spans: Sequence[Mapping[str, Any]], starts: Mapping[int, int]) -> dict[int, str] | None:
        """A tag for each word by number, of spans in order; None where a span holds no beginning of a word."""
        tags = dict.fromkeys(starts, _OUTSIDE)
        for span in spans:
            inside = [word for word, start in starts.items() if span["start"] <= start < span["end"]]
            if not inside:
                return None
            for place, word in enumerate(inside):
                tags[word] = self._call(str(span["label"]), is_first=place == 0)
        return tags

    def read(
        self, tags: Mapping[int, str], starts: Mapping[int, int], stops: Mapping[int, int]
    ) -> list[dict[str, Any]]:
        """Spans of tags by word: a word goes on with the span before it unless it is called otherwise or begins one."""
        spans: list[dict[str, Any]] = []
        before = _OUTSIDE
        for word, tag in tags.items():
            kind = self._kind_of(tag)
            if tag != _OUTSIDE and kind == before and not (tag.startswith("B-") and kind != tag):
                spans[-1]["end"] = stops[word]
            elif tag != _OUTSIDE:
                spans.append({"start": starts[word], "end": stops[word], "label": kind})
            before = kind
        return spans

    def _call(self, label: str, *, is_first: bool) -> str:
        if label in self._names:
            return label
        inner = f"I-{label}"
        return f"B-{label}" if is_first or inner not in self._names else inner

    def _kind_of(self, tag: str) -> str:
        return tag[2:] if tag[:2] in ("B-", "I-") else tag
