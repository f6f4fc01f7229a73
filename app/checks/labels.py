"""Do labels fit the head of a checkpoint, or of the model that an evaluation trains?"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import Json
from influence.contracts.dataset import ROW_FORMS, Dataset
from influence.contracts.evaluation.record import Subject
from influence.contracts.tasks import names_classes
from influence.errors import InvalidRequest, LabelOutOfRange, LabelUnknown, RowsUnfit
from influence.rows.label_forms.class_order import names_by_number
from influence.rows.label_forms.class_values import Form
from influence.rows.label_forms.numbers import count_numbers
from influence.rows.labels import is_ambiguous

_SHOWN = 20
_NAMES_HINT = "Send 'label_names' with the checkpoint: the names in the order of the head's outputs."


def check_labels(checkpoint: Checkpoint | Subject, dataset: Dataset) -> None:
    """Raise LabelOutOfRange, LabelUnknown or RowsUnfit where a data set has labels that the head cannot have."""
    if names_classes(checkpoint.task):
        _check_classes(checkpoint, dataset)
    _check_spans(checkpoint, dataset.statistics.get("span_labels", {}), f"The rows of {dataset.id} have")
    width = dataset.statistics.get("label_vector")
    if width is not None and checkpoint.num_labels not in (None, width):
        raise RowsUnfit(
            f"The labels of {dataset.id} have {width} places, the head has {checkpoint.num_labels} outputs.",
            hint="Send label vectors with one place per output of the head, in its order.",
            extra={"label_vector": width, "num_labels": checkpoint.num_labels},
        )
    if (numbers := dataset.statistics.get("numbers_per_row")) is not None:
        _check_numbers(checkpoint, numbers, f"The rows of {dataset.id} have")


def check_example_labels(
    examples: Sequence[Json], checkpoint: Checkpoint, dataset: Dataset, *, needs_label: bool
) -> None:
    """Raise InvalidRequest, LabelOutOfRange, LabelUnknown or RowsUnfit where an example in normal form cannot be asked.

    `needs_label` is False where the model's own answer takes the label's place.
    """
    if ROW_FORMS[dataset.kind].label is None:
        return
    for number, example in enumerate(examples):
        label = example["label"]
        if label is None and needs_label:
            raise InvalidRequest(
                f"Example {number} has no label.",
                hint="Give every example its label, or ask with target 'prediction'.",
                extra={"example_index": number},
            )
        if label is not None:
            check_label(label, checkpoint, dataset, f"Example {number} has", {"example_index": number})


def check_label(label: Any, checkpoint: Checkpoint, dataset: Dataset, opening: str, extra: Json) -> None:
    """Raise LabelOutOfRange, LabelUnknown or RowsUnfit where the head cannot have a label in normal form.

    `opening` begins the sentence, `extra` says in the error where the label was given.
    """
    if ROW_FORMS[dataset.kind].label == "number":
        _check_numbers(checkpoint, count_numbers(label), opening)
    elif names_classes(checkpoint.task):
        found = [one for one in (label if isinstance(label, list) else [label]) if one is not None]
        _check_spans(checkpoint, [one["label"] for one in found if isinstance(one, dict)], opening)
        for one in (one for one in found if not isinstance(one, dict)):
            _check_class(one, checkpoint, opening, extra)
            _refuse_ambiguous(one, checkpoint, dataset, opening, extra)


def _check_spans(checkpoint: Checkpoint | Subject, called: Iterable[str], opening: str) -> None:
    """Raise LabelUnknown for spans that none of the head's classes is called after, in any of the usual schemes."""
    names = checkpoint.label_names or ()
    unknown = [label for label in called if label not in names and f"B-{label}" not in names]
    if unknown:
        raise LabelUnknown(
            f"{opening} spans called {', '.join(map(repr, unknown[:_SHOWN]))}, which the checkpoint does not know.",
            hint=f"Its classes are {', '.join(names[:_SHOWN])}." if names else _NAMES_HINT,
            extra={"labels": unknown[:_SHOWN]},
        )


def _check_class(label: int | str, checkpoint: Checkpoint, opening: str, extra: Json) -> None:
    if isinstance(label, str) and checkpoint.label_names is None:
        raise LabelUnknown(
            f"{opening} the label {label[:80]!r}, but the checkpoint's labels have no names.",
            hint="Give class numbers, or send the checkpoint again with 'label_names'.",
            extra=extra,
        )
    if isinstance(label, int) and checkpoint.num_labels is not None and label >= checkpoint.num_labels:
        raise LabelOutOfRange(
            f"{opening} the label {label}, the head has {checkpoint.num_labels} classes.",
            hint=f"Use labels 0 to {checkpoint.num_labels - 1}.",
            extra={**extra, "num_labels": checkpoint.num_labels},
        )


def _refuse_ambiguous(label: int | str, checkpoint: Checkpoint, dataset: Dataset, opening: str, extra: Json) -> None:
    """A number means one class to the data set that was indexed and another one to the head."""
    names = names_by_number(dataset.label_names, checkpoint.label_names)
    if names is None or not isinstance(label, int) or checkpoint.label_names is None:
        return
    of_rows = names[label] if label < len(names) else None
    of_head = checkpoint.label_names[label] if label < len(checkpoint.label_names) else None
    if of_rows != of_head:
        raise LabelUnknown(
            f"{opening} the label {label}: {of_rows!r} to the data set, {of_head!r} to the head.",
            hint=f'Give the name, for example "label": "{of_head}", or a list of names where labels are lists.',
            extra=extra,
        )


def _check_classes(checkpoint: Checkpoint | Subject, dataset: Dataset) -> None:
    names = checkpoint.label_names
    names_by_number(dataset.label_names, names)
    counts: dict[str, int] = dataset.statistics.get("labels", {})
    form: Form | None = dataset.statistics.get("label_form")
    unknown = [label for label in counts if label not in (names or ())]
    named = [label for label in unknown if form == "name" or not _is_class_number(label)]
    if named:
        _refuse_names(named, names, counts)
    if form is not None and names is not None and dataset.label_names is None and is_ambiguous(form, names):
        _refuse_form(form, names, counts)
    classes = checkpoint.num_labels
    numbers = [label for label in (unknown if form is None else counts) if form != "name"]
    if classes is not None and (beyond := [label for label in numbers if int(label) >= classes]):
        raise LabelOutOfRange(
            f"Labels {', '.join(beyond[:_SHOWN])} lie outside the head, which has {classes} classes.",
            hint=f"Use labels 0 to {classes - 1}, or the checkpoint that was trained on these labels.",
            extra={"labels": beyond[:_SHOWN], "num_labels": classes, "rows": sum(counts[label] for label in beyond)},
        )


def _refuse_form(form: Form, names: Sequence[str], counts: Mapping[str, int]) -> NoReturn:
    raise LabelUnknown(
        f"The labels are {'class numbers' if form == 'number' else 'truth values'}, and so are the checkpoint's names, "
        "in another order: which class is meant cannot be told.",
        hint="Send the data set with 'label_names', and its labels as texts: they are then read as names. "
        f"The checkpoint knows {', '.join(map(repr, names[:_SHOWN]))}.",
        extra={"labels": list(counts)[:_SHOWN], "label_names": list(names[:_SHOWN])},
    )


def _check_numbers(checkpoint: Checkpoint | Subject, numbers: int, opening: str) -> None:
    outputs = checkpoint.num_labels
    if outputs not in (None, numbers):
        raise RowsUnfit(
            f"{opening} {numbers} {'number' if numbers == 1 else 'numbers'} as label, the head has {outputs} "
            f"{'output' if outputs == 1 else 'outputs'}.",
            hint="Send one number per output of the head.",
            extra={"numbers": numbers, "num_labels": outputs},
        )


def _refuse_names(unknown: list[str], names: tuple[str, ...] | None, counts: dict[str, int]) -> None:
    near = get_close_matches(unknown[0], names or (), 1)
    if names is None:
        hint = _NAMES_HINT
    else:
        hint = (f"Did you mean '{near[0]}'? " if near else "") + f"The checkpoint knows {', '.join(names[:_SHOWN])}."
    raise LabelUnknown(
        f"Labels {', '.join(map(repr, unknown[:_SHOWN]))} are not known to the checkpoint.",
        hint=hint,
        extra={"labels": unknown[:_SHOWN], "rows": sum(counts[label] for label in unknown)},
    )


def _is_class_number(label: str) -> bool:
    return label.isascii() and label.isdigit()
