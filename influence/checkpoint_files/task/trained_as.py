"""The way of training that an adapter's own files name, held against the task: another loss is never scored instead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.folders import REFERENCE_FILE
from influence.checkpoint_files.adapters.notes.training_notes import OF_HEADS, PAIRS, PLAIN, TrainingNotes, read_notes
from influence.checkpoint_files.adapters.notes.training_settings import (
    NAMELESS,
    TALKING,
    WITHOUT_TURNS,
    TrainingSettings,
    read_training,
)
from influence.checkpoint_files.adapters.trainer_templates.known import find_template, has_thoughts
from influence.checkpoint_files.task.cross_encoders import of_task
from influence.contracts.checkpoint import TrainingRecord
from influence.contracts.index import DEFAULT_BETA
from influence.contracts.tasks import CAUSAL_LM, TASKS, TaskDeclaration, TaskName
from influence.errors import TaskMismatch


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that the files beside an adapter say of its training."""

    notes: TrainingNotes | None
    settings: TrainingSettings | None
    has_reference: bool = False

    def settle_task(self, asked: TaskName | None) -> TaskName | None:
        """As `settle_task`. Raises TaskMismatch also where a part of the loss is not scored and no task was asked."""
        refuse_unscored(asked, self.settings)
        found = settle_task(asked, self.notes)
        if self.has_reference and found is not None and TASKS[found].has_reference:
            raise TaskMismatch(
                "An adapter for reference lies beside this one: training compared with it, and not with the base model "
                f"alone, as task {found!r} does.",
                hint="Merge the reference adapter into the base, PeftModel.from_pretrained(base, reference)"
                ".merge_and_unload().save_pretrained(folder), and send that folder as 'base_model', with this adapter "
                "alone, if it was trained on top of the reference; else it cannot be scored by this loss.",
            )
        return found

    def find_doubts(self, task: TaskName) -> Iterator[str]:
        """What scores do not follow, in sentences."""
        yield from find_loss_doubts(task, self.notes)
        yield from find_training_doubts(self.settings, task)
        if TASKS[task].reads == "text" and TASKS[task].trained_as:
            yield from find_template_doubts(self.settings)
        elif TASKS[task].reads == "text":
            yield from find_turn_doubts(self.settings)

    @property
    def problem_type(self) -> str | None:
        """What the trainer calls the loss of a head."""
        return None if self.settings is None else self.settings.problem_type

    @property
    def bits(self) -> int | None:
        """In how many bits the trainer read the base model."""
        return None if self.settings is None else self.settings.bits

    def describe(self) -> TrainingRecord | None:
        """The record of it; None where the files say nothing."""
        said = self.settings or TrainingSettings(files=())
        named = (*(() if self.notes is None else (self.notes.file,)), *said.files)
        files = dict.fromkeys(named)
        if not files:
            return None
        # Other ways have losses of pairs or of answers, which no tokens are summed to.
        is_of_text = self.notes is None or self.notes.way in PLAIN
        return TrainingRecord(
            files=tuple(files),
            trainer=said.trainer,
            way=None if self.notes is None else self.notes.way,
            loss=said.loss,
            completion_loss=said.completion_loss,
            beta=None if self.notes is None else self.notes.beta,
            center_rewards_coefficient=None if self.notes is None else self.notes.centering,
            max_length=said.max_length,
            template=said.template,
            system=said.system,
            enable_thinking=said.enable_thinking,
            thoughts=said.thoughts,
            ends=said.ends,
            reduction=said.reduction if is_of_text else None,
            batch_rows=said.batch_rows,
            optimizer=said.optimizer,
        )

    def identity(self) -> Mapping[str, Any]:
        """What of it decides scores, for the address of a checkpoint."""
        record = self.describe()
        if record is None:
            return {}
        is_followed = find_template(record) is not None
        fields = {"loss", "completion_loss", "beta", "center_rewards_coefficient", "system", "ends"}
        if is_followed:
            fields |= {"template", "trainer", "thoughts"}
        # Of a template without thoughts it decides nothing.
        if is_followed and has_thoughts(record.trainer, record.template):
            fields |= {"enable_thinking"}
        said = record.model_dump(include=fields, exclude_none=True)
        # Indexes of before pieces were encoded as the trainer did hold gradients of other tokens.
        return {**said, "pieces": "apart"} if is_followed else said


def read_recipe(folder: Path) -> Recipe:
    """Read a folder's files."""
    return Recipe(read_notes(folder), read_training(folder), (folder / REFERENCE_FILE).is_file())


def settle_task(asked: TaskName | None, notes: TrainingNotes | None) -> TaskName | None:
    """The task asked for, or the one whose loss the adapter was trained by; None where nothing says.

    Raises TaskMismatch for a task that is not of that loss, and where none was asked for and no task has that loss.
    """
    if notes is None or notes.way in PLAIN:
        return asked
    of_way = [task for task in TASKS.values() if notes.way in task.trained_as]
    if asked is None:
        if not of_way or notes.way == PAIRS:
            raise _not_scored(notes)
        _refuse_other_loss(of_way[0], notes)
        return of_way[0].name
    if not TASKS[asked].trained_as or asked == CAUSAL_LM.name:
        return asked
    if TASKS[asked] not in of_way:
        raise TaskMismatch(
            f"{notes.file} says that the adapter was trained by {notes.way.upper()}, which is not the loss of task "
            f"{asked!r}.",
            hint=_instead(of_way, of_head=TASKS[asked].head is not None),
        )
    _refuse_other_loss(TASKS[asked], notes)
    return asked


def refuse_unscored(asked: TaskName | None, training: TrainingSettings | None) -> None:
    """Raise TaskMismatch where the files name a part of the loss that no task has, unless a task was asked for."""
    if asked is None and training is not None and training.unscored:
        raise TaskMismatch(
            f"{training.file} says that training had {' and '.join(training.unscored)}: no loss that is scored has it.",
            hint="Send 'task' with the task that it was: scores are then of that task's loss without it, which "
            "training did not follow exactly.",
            extra={"unscored": list(training.unscored)},
        )


def find_training_doubts(training: TrainingSettings | None, task: TaskName) -> Iterator[str]:
    """What the files say of training that scores of a task do not follow, in sentences."""
    if training is None:
        return
    if unscored := [what for what in training.unscored if of_task(task) not in what]:
        yield f"{training.file} says that training had {' and '.join(unscored)}: scores are of the loss without."
    yield from (f"{training.file} says that training had {what}." for what in training.beside)


def find_template_doubts(training: TrainingSettings | None) -> Iterator[str]:
    """How conversations are written where the trainer had templates of its own, in sentences."""
    if training is None or training.trainer not in TALKING:
        return
    known = find_template(training)
    if known is not None:
        system = known.default_system[:80]
        yield (
            f"{training.file} names {training.trainer}'s template {training.template!r}: conversations are written by "
            "it, and those with tools by the tokenizer's chat template."
            + (f" Those without a system prompt begin with {system!r}." if system else "")
            + f" Leave {training.file} out of the upload for the tokenizer's."
        )
        return
    if training.template is None and training.trainer != NAMELESS:
        return
    named = f"template {training.template[:60]!r}" if training.template else "templates of its own, which no file names"
    yield (
        f"{training.trainer} wrote conversations by {named}; here the tokenizer's chat template writes them. Look at "
        "the preview: where training read another text, put a chat_template.jinja that writes it beside the adapter, "
        "or send rows as prompt and completion in training's own words."
    )


def find_turn_doubts(training: TrainingSettings | None) -> Iterator[str]:
    """Of a model with a head whose rows of text were turns of a conversation in training (ms-swift), in sentences."""
    if training is None or training.trainer != "ms-swift" or training.template in (None, *WITHOUT_TURNS):
        return
    yield (
        f"{training.file} names the template {training.template!r}: ms-swift wrote each text as a turn of it, and here "
        "it is read as it stands. Send rows in which the text is what the template wrote."
    )


def find_loss_doubts(task: TaskName, notes: TrainingNotes | None) -> Iterator[str]:
    """What the files say of the loss that the task does not take up by itself, in sentences."""
    if notes is None or notes.way in PLAIN:
        return
    if notes.way not in TASKS[task].trained_as:
        yield (
            f"{notes.file} says that the adapter was trained by {notes.way.upper()}: scores are of the loss of task "
            f"{task!r}, which training did not follow."
        )
    elif notes.is_bare and TASKS[task].has_reference:
        yield (
            f"{notes.file} says that preferences were trained on, and nothing else of it: TRL keeps loss_type, "
            "label_smoothing and beta in training_args.bin, which is not among the files. Taken are loss_type "
            f"'sigmoid', no smoothing, and the index's beta, {DEFAULT_BETA:g} when left out."
        )
    elif notes.is_bare:
        yield (
            f"{notes.file} says that a reward model was trained, and nothing else of it: TRL keeps its settings in "
            "training_args.bin, which is not among the files. Taken is the loss without center_rewards_coefficient, "
            "unless an index names it."
        )


def _refuse_other_loss(task: TaskDeclaration, notes: TrainingNotes) -> None:
    """Raise TaskMismatch where the loss is a variant of the task's."""
    variants = ([f"loss_type {notes.loss_type!r}"] if notes.loss_type else []) + list(notes.beside)
    if variants:
        raise TaskMismatch(
            f"{notes.file} says that training had {' and '.join(variants)}: task {task.name!r} has another loss.",
            hint=_instead([], of_head=task.head is not None),
        )


def _not_scored(notes: TrainingNotes) -> TaskMismatch:
    if notes.way == PAIRS:
        tasks = " or ".join(repr(task.name) for task in TASKS.values() if PAIRS in task.trained_as)
        return TaskMismatch(
            f"{notes.file} logs rewards of chosen and rejected answers: the adapter was trained on preferences, and "
            "nothing says by which loss.",
            hint=f"Send 'task': {tasks} where it was DPO with the sigmoid loss. {_instead([])}",
        )
    return TaskMismatch(
        f"{notes.file} says that the adapter was trained by {notes.way.upper()}, a loss that is not scored.",
        hint=_instead([], of_head=notes.way in OF_HEADS),
    )


def _instead(tasks: list[TaskDeclaration], *, of_head: bool = False) -> str:
    """What to send in the place of what was refused; a model with a head of its own has no loss of text."""
    names = [repr(task.name) for task in tasks]
    fitting = f"Send 'task': {' or '.join(names)}. " if names else ""
    if of_head:
        return fitting or "No task has this loss, so that this adapter cannot be scored by what it was trained for."
    return (
        f"{fitting}With 'task': {CAUSAL_LM.name!r} scores are of the loss of text, which training did not follow: they "
        "say what rows do to that."
    )
