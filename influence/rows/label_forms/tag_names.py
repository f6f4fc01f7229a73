"""What names of tags say of a span: where it begins (B-), goes on (I-) and, in some schemes, ends (L-, U-, E-, S-)."""

from collections.abc import Collection, Sequence

from influence.errors import TaskMismatch


def inside_classes(names: Sequence[str] | None) -> dict[int, int]:
    """The class I- of each class B- by number, where the head has it. Raises TaskMismatch for classes without names,
    and for those that mark the ends of spans, too: a word's last token would have to."""
    if names is None:
        raise TaskMismatch(
            "Which class is the I- of a B- is not known: the checkpoint's classes have no names.",
            hint="Send 'label_names' with the checkpoint, or its config.json beside the adapter; or 'loss': 'all'.",
        )
    if marks_ends(names):
        raise TaskMismatch(
            "The checkpoint's classes mark the ends of spans, too: which class a word's last token had is not known.",
            hint="Send 'loss': 'all' or 'first'.",
        )
    numbers = {name: number for number, name in enumerate(names)}
    return {
        number: numbers[f"I-{name[2:]}"]
        for name, number in numbers.items()
        if name.startswith("B-") and f"I-{name[2:]}" in numbers
    }


def marks_ends(names: Collection[str]) -> bool:
    """Whether classes say where spans end, too (BILOU, BIOES)."""
    kinds = {name[2:] for name in names if name.startswith("B-")}
    return any(f"{mark}-{kind}" in names for kind in kinds for mark in "LUES")
