"""What a data set looks like and what looks wrong with it, in one pass at about 40 bytes per row."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.dataset import CONVERSATION, ROW_FORMS, RowKind, RowProblem
from influence.digests import canonical_json
from influence.rows.content import Row
from influence.rows.conversations.messages import text_of
from influence.rows.file import content_hash_input
from influence.rows.findings import NAMED_ROWS
from influence.rows.label_forms.class_values import MISSING_WORDS
from influence.rows.label_forms.figures import open_figures
from influence.rows.repeats import HashList
from influence.rows.roles import CLASS

_COUNTED_LABELS = 1000

_LONGEST_WORD = max(map(len, MISSING_WORDS))
#: What chat templates of widespread models write around turns, as tokens of their own.
_MARKUP = re.compile(
    r"<\|(?:im_start|im_end|im_sep|start_header_id|end_header_id|eot_id|eom_id|begin_of_text|end_of_text|endoftext"
    r"|system|user|assistant|end)\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</s>|<｜[^｜<>]{1,40}｜>"
)


class RowStatistics:
    """Collects figures while rows flow by; ask for `summary()` and `problems()` after the last one."""

    def __init__(self, kind: RowKind) -> None:
        self.kind = kind
        self.rows = 0
        self._characters: dict[str, array[int]] = {}
        self._labels = open_figures(ROW_FORMS[kind])
        self._classes: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._turns = array("q")
        self._without_assistant = 0
        self._markup = array("q")
        self.images: set[str] | None = set() if ROW_FORMS[kind].has_image else None
        self._sizes: dict[str, array[int]] = {"image_width": array("q"), "image_height": array("q")}
        self._empty, self._missing = array("q"), array("q")
        self._contents, self._texts, self._label_hashes = HashList(), HashList(), HashList()

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows through unchanged, counting them."""
        for row in rows:
            self.add(row)
            yield row

    def add(self, row: Row) -> None:
        """Take up one normalised row."""
        texts = self._texts_of(row)
        for name, text in {"": "".join(texts.values()), **(texts if len(texts) > 1 else {})}.items():
            self._characters.setdefault(name, array("q")).append(len(text))
        if any(not text.strip() for text in texts.values()):
            self._empty.append(self.rows)
        if any(len(text) <= _LONGEST_WORD and text.strip().lower() in MISSING_WORDS for text in texts.values() if text):
            self._missing.append(self.rows)
        self._contents.add(content_hash_input(row))
        if self.images is not None:
            texts = {**texts, "image": row["image"]["digest"]}
            self._add_image(row["image"])
        if self._labels is not None and row["label"] is not None:
            self._labels.add(row["label"])
            self._texts.add(canonical_json(texts))
            self._label_hashes.add(canonical_json([texts, row["label"]]))
        if CLASS in row:
            self._classes[row[CLASS]] += 1
        self.rows += 1

    def _add_image(self, image: dict[str, Any]) -> None:
        assert self.images is not None
        self.images.add(image["digest"])
        self._sizes["image_width"].append(image["width"])
        self._sizes["image_height"].append(image["height"])

    def _texts_of(self, row: Row) -> dict[str, str]:
        if self.kind != CONVERSATION.name:
            words = {name: row[name] for name in ROW_FORMS[self.kind].words if name in row}
            return {name: _joined(word) for name, word in words.items()}
        roles = [message["role"] for message in row["messages"]]
        self._roles.update(roles)
        self._turns.append(len(roles))
        self._without_assistant += "assistant" not in roles
        text = text_of(row["messages"])
        if _MARKUP.search(text):
            self._markup.append(self.rows)
        return {"messages": text}

    def summary(self) -> dict[str, Any]:
        """Rows, characters, and per kind: labels; prompt and completion; turns and roles; classes of text rows."""
        figures: dict[str, Any] = {"rows": self.rows, "characters": _spread(self._characters.get("", array("q")))}
        if self.images is not None:
            figures |= {"images": len(self.images), **{name: _spread(sizes) for name, sizes in self._sizes.items()}}
        figures |= {f"{name}_characters": _spread(sizes) for name, sizes in self._characters.items() if name}
        if self._labels is not None:
            figures |= self._labels.summary()
        if self._classes:
            common_classes = self._classes.most_common(_COUNTED_LABELS)
            figures |= {"row_classes": dict(sorted(common_classes)), "classes": len(self._classes)}
        if self.kind == CONVERSATION.name:
            figures |= {"turns": _spread(self._turns), "roles": dict(sorted(self._roles.items()))}
            figures["rows_without_assistant"] = self._without_assistant
        return figures

    def problems(self) -> tuple[RowProblem, ...]:
        """Empty and missing texts, duplicates, and equal texts with different labels, each with its first rows."""
        found = _problem("empty_text", _rows_of(self._empty), "rows have an empty text.")
        found += _problem(
            "missing_text", _rows_of(self._missing), "rows have a text such as 'nan', which tools write for none."
        )
        found += _problem(
            "markup_in_messages",
            _rows_of(self._markup),
            "rows hold inside a message what chat templates write around one, such as '<|im_end|>': a tokenizer that "
            "knows it as a token of its own reads it so here, too, as trainers do.",
        )
        found += _problem("duplicate", self._contents.repeats(), "rows equal an earlier row in all but the id.")
        if self._labels is not None:
            found += _problem(
                "conflicting_label",
                self._conflicts(),
                f"rows share their {'text' if self.images is None else 'image'} with a row of another label.",
            )
        return tuple(found)

    def _conflicts(self) -> NDArray[np.int64]:
        texts, labelled = self._texts.groups(), self._label_hashes.groups()
        if not texts.size:
            return texts
        # A text has a conflict where some row of its group has another label than the group's first row.
        differs = labelled != labelled[texts]
        return np.flatnonzero(np.isin(texts, texts[differs])).astype(np.int64)


def _joined(words: Any) -> str:
    """A text, the words of one, or the contents of messages, as one text."""
    if isinstance(words, str):
        return words
    return text_of(words) if any(isinstance(word, dict) for word in words) else " ".join(words)


def _problem(code: Any, rows: NDArray[np.int64], message: str) -> list[RowProblem]:
    if not rows.size:
        return []
    named = tuple(int(row) for row in rows[:NAMED_ROWS])
    return [RowProblem(code=code, count=int(rows.size), rows=named, message=f"{rows.size} {message}")]


def _rows_of(rows: "array[int]") -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64)


def _spread(sizes: "array[int]") -> dict[str, float]:
    if not sizes:
        return {"min": 0, "mean": 0.0, "p95": 0.0, "max": 0}
    values = np.frombuffer(sizes, dtype=np.int64)
    p95 = float(np.percentile(values, 95))
    return {
        "min": int(values.min()),
        "mean": round(float(values.mean()), 1),
        "p95": round(p95, 1),
        "max": int(values.max()),
    }
