"""Token classification: a class for each word of a row, such as named entities or parts of speech.

loss      which tokens of a tagged word carry it
first     the first one, as in the examples of transformers; so by default
all       all of them, each with the word's tag
inside    all of them; those that follow the first of a word tagged B- have the I- of its name
"""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from influence.contracts.common import LossScope, Reduction
from influence.contracts.dataset import TOKENS
from influence.contracts.tasks import TOKEN_CLASSIFICATION, TaskName
from influence.errors import RowMasked, RowsUnfit, TaskMismatch
from influence.rows.label_forms.tag_names import inside_classes
from workers.batching.collate import collate_rows
from workers.gradients.losses import TOKEN_LOSSES
from workers.rows import IGNORED, Batch, EncodedRow, Row
from workers.tasks.base import Materials, Prediction, RenderedRow
from workers.tasks.encoding import TextEncoder, TokenisedWords
from workers.tasks.kinds.class_labels import ClassLabels
from workers.tasks.kinds.tag_scheme import TagScheme, UnknownScheme
from workers.tasks.refusals import id_of, refuse_rows

#: Models whose tokenizers mark the beginning of a word by the space before it: the usual training scripts add one.
_SPACED_WORDS = frozenset({"bloom", "gpt2", "roberta", "deberta"})


class TokenClassification:
    """A row's loss is the mean or sum over its tagged words, each at its first token, or over all of their tokens.

    Words come with the row, or are those that the tokenizer sees in its text. `spaced`: a space goes before each word.
    """

    name: TaskName = TOKEN_CLASSIFICATION.name

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        pad_id: int,
        num_labels: int,
        label_names: Sequence[str] | None,
        spaced: bool,
        scope: LossScope = "first",
        reduction: Reduction = "mean",
    ) -> None:
        self._encoder = encoder
        self._pad_id = pad_id
        self._names = label_names
        self._classes = ClassLabels(num_labels, label_names)
        self._spaced = spaced
        self._scope = scope
        self._reduction = reduction
        self._following = inside_classes(label_names) if scope == "inside" else {}

    @classmethod
    def make(cls, materials: Materials) -> "TokenClassification":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope that it has not, and where words or
        classes cannot be told apart.

        A tokenizer that the adapter was saved with is taken as it is.
        """
        scope = materials.settings.loss or "first"
        if scope not in TOKEN_CLASSIFICATION.rows[TOKENS.name]:
            raise TaskMismatch(f"Tagged words have no part called {scope!r} that would carry loss.")
        if not materials.encoder.tokenizer.is_fast:
            raise TaskMismatch(
                "The tokenizer cannot say which word a token belongs to.",
                hint="Save the base model with its fast tokenizer (tokenizer.json).",
            )
        config = materials.model.config
        return cls(
            materials.encoder,
            pad_id=materials.pad_id,
            num_labels=int(config.num_labels),
            label_names=materials.checkpoint.label_names,
            spaced=materials.checkpoint.tokenizer is None and config.model_type in _SPACED_WORDS,
            scope=scope,
            reduction=materials.settings.reduction,
        )

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows. Raises LabelUnknown, LabelOutOfRange, RowMasked, RowTooLong and RowsUnfit naming the rows."""
        _check_rows(rows)
        if unlabelled := [id_of(row) for row in rows if row.get("label") is None]:
            refuse_rows(
                RowsUnfit,
                unlabelled,
                "without tags",
                hint="Tag each row; for test rows without tags, send target 'prediction'.",
            )
        texts = self._read(rows)
        tags = self._number([self._tags(row, text) for row, text in zip(rows, texts, strict=True)], rows)
        encoded = [self._encode(row, text, found) for row, text, found in zip(rows, texts, tags, strict=True)]
        if masked := [row.row_id for row in encoded if all(label == IGNORED for label in row.labels)]:
            refuse_rows(
                RowMasked,
                masked,
                f"without a tagged word in the first {self._encoder.limit} tokens",
                hint="Tag a word that is read, raise max_length, or drop them.",
            )
        return encoded

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=self._pad_id)

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return TOKEN_LOSSES[self._reduction](model(**batch.inputs).logits, batch.labels)

    def loss_units(self, batch: Batch) -> int:
        """Rows, or tokens that carry loss where a row's loss is their sum."""
        return len(batch) if self._reduction == "mean" else int((batch.labels != IGNORED).sum())

    def reduced_by(self, reduction: Reduction) -> "TokenClassification":
        other = copy(self)
        other._reduction = reduction
        return other

    @torch.no_grad()
    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """The most probable class of each word that is read, or spans of the text; one row at a time."""
        _check_rows(rows)
        device = next(model.parameters()).device
        found: list[Prediction | None] = []
        for row, text in zip(rows, self._read(rows), strict=True):
            batch = self.collate([EncodedRow(id_of(row), text.inputs, [IGNORED], len(text.words))]).to(device)
            chances = model(**batch.inputs).logits[0].float().softmax(dim=-1).cpu()
            places = _first_tokens(text)
            best = chances[list(places.values())].max(dim=-1)
            tags = dict(zip(places, best.indices.tolist(), strict=True))
            found.append(Prediction(label=self._show(row, text, tags), probability=float(best.values.prod())))
        return found

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "label": prediction.label}

    def render(self, row: Row) -> RenderedRow:
        (encoded,) = self.tokenise([row])
        ids = encoded.inputs["input_ids"]
        supervised = tuple(label != IGNORED for label in encoded.labels)
        return RenderedRow(self._encoder.decode(ids), self._encoder.tokens(ids), supervised, encoded.truncated)

    def _read(self, rows: Sequence[Row]) -> list[TokenisedWords]:
        before = " " if self._spaced else ""
        given = [[before + word for word in row["tokens"]] if "tokens" in row else str(row["text"]) for row in rows]
        texts = [self._encoder.encode_words(words) for words in given]
        self._encoder.refuse_long([id_of(row) for row in rows], [text.was_cut for text in texts])
        return texts

    def _tags(self, row: Row, text: TokenisedWords) -> Mapping[int, Any]:
        """The tag of each word that has one, by number."""
        if "tokens" in row:
            return {word: tag for word, tag in enumerate(row["label"]) if tag is not None}
        # Words beyond the limit are not read, and a span there is nobody's.
        first, last = min(text.starts.values(), default=0), max(text.starts.values(), default=0)
        read = [span for span in row["label"] if not text.was_cut or (first < span["end"] and span["start"] <= last)]
        tags = self._scheme(row).write(read, text.starts)
        if tags is None:
            refuse_rows(
                RowsUnfit,
                [id_of(row)],
                "with a span that holds the beginning of no word",
                hint="Let spans begin where words do, or send the words with their tags.",
            )
        return tags

    def _number(self, tags: Sequence[Mapping[int, Any]], rows: Sequence[Row]) -> list[dict[int, int]]:
        numbers = iter(
            self._classes.number([(row, tag) for row, found in zip(rows, tags, strict=True) for tag in found.values()])
        )
        return [{word: next(numbers) for word in found} for found in tags]

    def _encode(self, row: Row, text: TokenisedWords, tags: Mapping[int, int]) -> EncodedRow:
        labels = [IGNORED] * len(text.words)
        first = _first_tokens(text)
        for place, word in enumerate(text.words):
            if word is None or word not in tags:
                continue
            if place == first[word]:
                labels[place] = tags[word]
            elif self._scope != "first":
                labels[place] = self._following.get(tags[word], tags[word])
        return EncodedRow(id_of(row), text.inputs, labels, len(labels), text.was_cut)

    def _show(self, row: Row, text: TokenisedWords, tags: Mapping[int, int]) -> Any:
        spelt = {word: self._classes.spell(tag) for word, tag in tags.items()}
        if "tokens" in row:
            return [spelt.get(word) for word in range(len(row["tokens"]))]
        names = {word: str(tag) for word, tag in spelt.items()}
        return self._scheme(row).read(names, text.starts, _stops(str(row["text"]), text.starts))

    def _scheme(self, row: Row) -> TagScheme:
        try:
            return TagScheme(self._names)
        except UnknownScheme as error:
            refuse_rows(RowsUnfit, [id_of(row)], f"whose spans cannot be read: {error}", hint="Send words with tags.")


def _first_tokens(text: TokenisedWords) -> dict[int, int]:
    """The place of the first token of each word that is read."""
    places: dict[int, int] = {}
    for place, word in enumerate(text.words):
        if word is not None:
            places.setdefault(word, place)
    return places


def _stops(text: str, starts: Mapping[int, int]) -> dict[int, int]:
    """Where each word ends: before the spaces that lead to the next one."""
    following = [*sorted(starts.values())[1:], len(text)]
    ends = dict(zip(sorted(starts, key=starts.__getitem__), following, strict=True))
    return {word: starts[word] + len(text[starts[word] : end].rstrip()) for word, end in ends.items()}


def _check_rows(rows: Sequence[Row]) -> None:
    unfit = [id_of(row) for row in rows if "tokens" not in row and not isinstance(row.get("text"), str)]
    if unfit:
        refuse_rows(RowsUnfit, unfit, "without words or a text", hint="Send tokens with tags, or a text with spans.")
