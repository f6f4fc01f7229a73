"""Can the loss fall where a request wants it? All that can be told before any model is loaded."""

from collections.abc import Sequence

from app.checks.labels import check_label
from influence.checkpoint_files.bases.noise import noise_of_noise
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import Json
from influence.contracts.dataset import ROW_FORMS, TEXT, Dataset, LabelValue
from influence.contracts.points import PointSource
from influence.contracts.tasks import TASKS
from influence.errors import BrokenRow, InvalidRequest, RowsRefused
from influence.rows.conversations.answers import answer_text, ends_with_answer
from influence.rows.label_forms.books import open_book

#: Images that are made for one request: each takes tens of passes, and lies in the query's record.
MAX_GENERATED = 16


def check_target(request: PointSource, checkpoint: Checkpoint) -> None:
    """Raise InvalidRequest for a target that the task's answers cannot be."""
    task = TASKS[checkpoint.task]
    if task.answers == "nothing" and (request.target != "label" or request.against is not None):
        raise InvalidRequest(
            f"Rows of task '{task.name}' are pairs of answers and ask nothing: the model has no answer to them.",
            hint="Leave 'target' and 'against' out; to ask about the other way round, swap chosen and rejected.",
            extra={"field": "target" if request.target != "label" else "against"},
        )
    if request.target == "prediction" and task.answers == "number":
        raise InvalidRequest(
            "The squared error of a prediction against itself is 0, and so is every influence on it.",
            hint="Give the test points the numbers that they should have, and leave 'target' out.",
        )
    if request.span is not None and task.answers != "text":
        raise InvalidRequest(
            f"'target' names a span of the answer, and the answer of task '{task.name}' is no text.",
            hint="Leave 'target' out"
            + ("." if task.answers == "image" else "; 'against' asks why one label and not another."),
            extra={"field": "target.span"},
        )
    if request.against is not None and task.answers == "image":
        raise InvalidRequest(
            "'against' is another label or text, and this model answers with images.",
            hint="Leave it out; ask about the other image in a query of its own.",
            extra={"field": "against"},
        )
    if request.generation is not None and not makes_images(request, checkpoint):
        raise InvalidRequest(
            "'generation' says how an image model makes the image, and no image is made here.",
            hint="Leave it out, or ask an image model with target 'prediction'.",
            extra={"field": "generation"},
        )


def makes_images(request: PointSource, checkpoint: Checkpoint) -> bool:
    """Whether the model makes the images that the request asks about."""
    return request.target == "prediction" and TASKS[checkpoint.task].answers == "image"


def refuse_noise_of_noise(checkpoint: Checkpoint) -> None:
    """Raise UnsupportedModule where a model whose images are to be made can make none."""
    pipeline = checkpoint.pipeline
    if pipeline is not None and pipeline.ends_in_noise and pipeline.prediction == "epsilon":
        raise noise_of_noise()


def check_generated(request: PointSource, points: int) -> None:
    """Raise InvalidRequest where the images that the model is to make are too many, or given."""
    if points > MAX_GENERATED:
        raise InvalidRequest(
            f"{points:,} images would have to be made; at most {MAX_GENERATED} are for one request.",
            hint="Ask about fewer captions at once.",
            extra={"test_points": points, "max_test_points": MAX_GENERATED},
        )
    given = [number for number, example in enumerate(request.examples or ()) if "image" in example]
    if given:
        raise InvalidRequest(
            f"Example {given[0]} has an image, and target 'prediction' asks about the one that the model makes.",
            hint="Leave the image out, or leave 'target' out to ask about yours.",
            extra={"example_index": given[0]},
        )


def check_examples(request: PointSource, examples: Sequence[Json]) -> None:
    """Raise InvalidRequest for an example in normal form that has no answer of the kind that is asked about."""
    _check_spans(request, examples)
    if request.against is None:
        return
    for number, example in enumerate(examples):
        if not ends_with_answer(example):
            raise InvalidRequest(
                f"'against' takes the place of the last turn, and that of example {number} is not the assistant's.",
                hint="End the conversation with the assistant's answer.",
                extra={"field": "against", "example_index": number},
            )


def _check_spans(request: PointSource, examples: Sequence[Json]) -> None:
    """Raise InvalidRequest for a span that ends beyond the answer of an example in normal form."""
    if request.span is None:
        return
    for number, example in enumerate(examples):
        characters = len(answer_text(example) or "")
        if request.span[1] > characters:
            raise InvalidRequest(
                f"'target.span' ends at character {request.span[1]}, the answer of example {number} has {characters}.",
                hint="Count characters from the start of the completion, the last assistant turn or the plain text.",
                extra={"field": "target.span", "example_index": number, "characters": characters},
            )


def read_against(request: PointSource, checkpoint: Checkpoint, dataset: Dataset) -> LabelValue | None:
    """`against` in the normal form of the data set's labels.

    Raises InvalidRequest, BrokenRow, LabelUnknown, LabelOutOfRange, RowsUnfit where it is no answer of the checkpoint.
    """
    if request.against is None:
        return None
    if ROW_FORMS[dataset.kind].label is None:
        return _as_completion(request.against, dataset)
    label = _read_label(request.against, checkpoint, dataset)
    check_label(label, checkpoint, dataset, "'against' has", {"field": "against"})
    return label


def _read_label(against: LabelValue, checkpoint: Checkpoint, dataset: Dataset) -> LabelValue:
    roles = ROW_FORMS[dataset.kind].label_roles
    role = next((role for role in roles if role in dataset.columns), roles[0])
    book = open_book(dataset.kind, checkpoint.label_names, checkpoint.num_labels)
    # From a terminal everything is text: where classes have no names, digits are a class number.
    is_typed = not isinstance(against, str) or checkpoint.label_names is not None
    try:
        label: LabelValue | None = book.read(against, "against", role=role, typed=is_typed)
        if label is not None:
            book.check(label)
    except (BrokenRow, RowsRefused) as error:
        raise type(error)(
            f"'against': {error.detail}", hint=error.hint, extra={**error.extra, "field": "against"}
        ) from error
    if label is None:
        raise InvalidRequest(
            "'against' is no label.", hint="Send a label as the data set's rows have.", extra={"field": "against"}
        )
    return label


def _as_completion(against: LabelValue, dataset: Dataset) -> str:
    extra = {"field": "against"}
    if dataset.kind == TEXT.name:
        raise InvalidRequest(
            "'against' is another answer, and plain text answers nothing.",
            hint="Index rows of prompt and completion, or conversations.",
            extra=extra,
        )
    if not isinstance(against, str):
        raise InvalidRequest(
            "'against' has to be text: the checkpoint answers with text.",
            hint="Send the other completion.",
            extra=extra,
        )
    return against
