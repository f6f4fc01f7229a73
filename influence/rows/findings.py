"""What is worth knowing about rows that were taken: each thing once, with its rows and names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from influence.contracts.dataset import ProblemCode, RowProblem

NAMED_ROWS = 20
_KEPT_NAMES = 1000
_NAMES_IN_MESSAGE = 12
#: Hears that something was found, and what it is called.
Note = Callable[[ProblemCode, str], None]
_MESSAGES: dict[ProblemCode, str] = {
    "alpha_left_out": "{count} images have transparent pixels, which are read as if they were not: modes {names}.",
    "columns_not_read": "No model reads {names}: kept beside the rows as metadata.",
    "fields_of_messages": "Messages have {names}, kept as they are: only a chat template that knows them reads them.",
    "label_names_not_learnt": "{names} does not name the classes one to one: no label names were taken from it.",
    "labels_from_one": "Class numbers in {names} begin with 1, and a head's classes with 0: if its first class is "
    "called 1 here, every row is scored as another class. Send the numbers less 1, or names.",
    "metadata_not_kept": "Not kept as metadata of {count} rows, for it is no JSON or too large: {names}.",
    "nulls_left_out": "{count} rows have nulls inside {names}, as columnar files add them to objects that lack a "
    "field: they are left out. Trainers that keep them (TRL since 1.0) write them into the text: send JSON Lines then.",
    "parts_handed_on": "{count} rows have contents that are lists of parts in {names}: a chat template that takes them "
    "gets them so, as from TRL and Axolotl, any other their texts as one. Write contents as text where training read "
    "one.",
    "prompt_in_answers": "{count} rows have answers that both begin with the prompt in {names}: it is read twice, as "
    'trainers do that put one after the other. Send columns with "prompt": "" where training read it once.',
    "prompts_made": "The prompts were made of {names} by the recipe of Stanford Alpaca: scores are right where "
    "training made them so, too. Send 'prompt' and 'completion', or 'messages', where it did not.",
    "quotes_before_signs": "{count} rows have texts in {names} that begin with a quote before =, +, - or @, as exports "
    "in CSV, this service's too, keep a spreadsheet from running them. It is read as part of the text: send the rows "
    "as JSON lines or Parquet where it is none.",
    "roles_renamed": "Roles were read under the names that chat templates know: {names}.",
    "similar_labels": "Labels differ only in case, spaces or how a character is coded, and are classes of their own: "
    "{names}.",
    "turns_without_loss": "{count} rows have answers that carry no loss, by {names}. A trainer that does not know the "
    "field trained on them: remove it from the rows then.",
    "words_for_nothing": "{count} rows have a word in {names} that tools write for none, such as 'nan': it is read as "
    "text, and trainers that read the file by pandas or 'datasets' read nothing there.",
    "truth_labels": "The truth values in {names} were read as classes: false is class 0, true is class 1.",
}


@dataclass(slots=True)
class _Finding:
    """`rows` are the first of `count` different rows, noted in ascending order."""

    names: dict[str, None] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    count: int = 0
    last: int = -1


class Findings:
    """Collects while rows flow by, at a size that does not grow with them."""

    def __init__(self) -> None:
        self._found: dict[ProblemCode, _Finding] = {}

    def note(self, code: ProblemCode, name: str, row: int) -> None:
        """Something called `name` was found at a row; rows have to come in ascending order."""
        found = self._found.setdefault(code, _Finding())
        if len(found.names) < _KEPT_NAMES:
            found.names[name] = None
        if row != found.last:
            found.last = row
            found.count += 1
            if len(found.rows) < NAMED_ROWS:
                found.rows.append(row)

    def problems(self) -> tuple[RowProblem, ...]:
        """All of it, in the order of the codes."""
        return tuple(
            RowProblem(
                code=code,
                count=found.count,
                rows=tuple(found.rows),
                message=_MESSAGES[code].format(names=list_names(list(found.names)), count=found.count),
                names=tuple(found.names),
            )
            for code, found in sorted(self._found.items())
        )


def notes_nothing(code: ProblemCode, name: str) -> None:
    """For whoever reads rows that say nothing of themselves, such as test points."""


def list_names(names: Sequence[str]) -> str:
    """The first names, quoted, and how many there are beside them."""
    shown = ", ".join(repr(name[:80]) for name in names[:_NAMES_IN_MESSAGE])
    return shown + (f" and {len(names) - _NAMES_IN_MESSAGE} more" if len(names) > _NAMES_IN_MESSAGE else "")
