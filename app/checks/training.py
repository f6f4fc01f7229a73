"""Where an index takes gradients of another loss, or of other tokens, than its checkpoint's files say of training."""

from collections.abc import Iterator

from app.checks.compatibility import find_trained_loss
from influence.checkpoint_files.adapters.notes.training_settings import TALKING, WITHOUT_TURNS
from influence.contracts.checkpoint import PLAIN_DESCENT, Checkpoint, TrainingRecord
from influence.contracts.common import MAX_ROW_TOKENS
from influence.contracts.dataset import COMPLETION, CONVERSATION, PREFERENCE, TOKENS, Dataset
from influence.contracts.index import GradientSettings, Metric
from influence.contracts.tasks import TASKS

#: Trainers whose masks decide where the loss of a conversation falls, and need not be named in any file.
_BY_MASKS = ("TRL", "Unsloth")


def find_differences(checkpoint: Checkpoint, dataset: Dataset, gradients: GradientSettings) -> Iterator[str]:
    """In sentences, each with what to send where training is to be followed."""
    yield from _bias_differences(checkpoint, gradients)
    training = checkpoint.training
    if training is None:
        return
    files = " and ".join(training.files)
    if gradients.loss is not None and (training.reduction or gradients.reduction) != gradients.reduction:
        yield (
            f"{files} names {training.trainer or 'a Trainer of transformers'}, which divides a step's loss by its "
            "tokens, so that a row weighs by its tokens that carry loss; here each row weighs the same. Send "
            "'reduction': 'sum' to follow training."
        )
    if TASKS[checkpoint.task].trained_as or dataset.kind == TOKENS.name:
        yield from _loss_differences(training, dataset, gradients, files)
    if None not in (training.beta, gradients.beta) and training.beta != gradients.beta:
        yield f"{files} says that training had beta {training.beta:g}, and this index has {gradients.beta:g}."
    centered = (training.center_rewards_coefficient, gradients.center_rewards_coefficient)
    if None not in centered and centered[0] != centered[1]:
        yield (
            f"{files} says that training had center_rewards_coefficient {centered[0]:g}, and this index has "
            f"{centered[1]:g}."
        )
    if training.max_length is not None and min(training.max_length, MAX_ROW_TOKENS) != gradients.max_length:
        left = training.max_length >= MAX_ROW_TOKENS
        done = "left rows whole" if left else f"cut rows at {training.max_length} tokens"
        yield (
            f"{files} says that training {done}, and this index cuts them at {gradients.max_length}: longer rows are "
            "others than those trained on. Without 'max_length' they are as in training."
        )
    if training.ends == "as_tokenised" and dataset.kind == COMPLETION.name:
        yield (
            "TRL to 0.14 wrote a prompt and its completion as turns of a conversation, by the chat template; here "
            "those that are texts are read one after the other as they stand. If that version trained, send them as "
            "'messages'."
        )
    if training.trainer in TALKING and training.template not in WITHOUT_TURNS:
        yield from _wording_differences(training.trainer, dataset)


def find_metric_doubts(checkpoint: Checkpoint, metric: Metric) -> Iterator[str]:
    """Where codes are in the metric of an optimiser that did not train the checkpoint, in a sentence."""
    training = checkpoint.training
    if metric == "optimizer" and training is not None and training.optimizer == PLAIN_DESCENT:
        yield (
            f"{' and '.join(training.files)} says that gradient descent trained (optimizer {PLAIN_DESCENT!r}), and "
            "this index has codes in the metric of an adaptive optimiser. After gradient descent method 'proximal' on "
            "an index of metric 'gradient' agreed better with retraining."
        )


def _bias_differences(checkpoint: Checkpoint, gradients: GradientSettings) -> Iterator[str]:
    """Where the adapter's configuration says that biases were trained, and gradients leave them out."""
    said = checkpoint.adapter or {}
    fields = [f"{name} {said[name]!r}" for name in ("bias", "lora_bias") if said.get(name) not in (None, "none", False)]
    if fields and not gradients.include_bias and gradients.parts == "all":
        yield (
            f"The adapter was trained with {' and '.join(fields)}, and the gradients of this index leave biases out. "
            "Send 'include_bias': true for those of all that was trained."
        )


def find_open_choices(checkpoint: Checkpoint, dataset: Dataset) -> Iterator[str]:
    """Where no file says which tokens carried loss, and trainers differ in it: in sentences."""
    said = None if checkpoint.training is None else checkpoint.training.loss
    if dataset.kind == TOKENS.name and said is None:
        yield (
            "No file says which tokens of a word carried loss: here its first does, with the word's tag. Where "
            "training labelled all of them, send 'loss': 'all' (each has the word's tag) or 'inside' (those that "
            "follow a B- have the I- of its name); 'first' says that training did as is done here."
        )


def _wording_differences(trainer: str, dataset: Dataset) -> Iterator[str]:
    """Where a trainer made turns of what is read here as it stands."""
    if dataset.statistics.get("prompt_template") == "alpaca":
        yield (
            f"{trainer} reads instruction and input as a user's turn through the model's chat template; here "
            "they were put into the prompt of the Stanford Alpaca recipe, other tokens than those trained on. Send the "
            "rows as 'messages': the user's content is the instruction, a line break and the input, the assistant's is "
            "the output."
        )
    elif dataset.kind in (COMPLETION.name, PREFERENCE.name):
        yield (
            f"{trainer} writes a prompt and its answer as turns of a conversation, by its template; here those that "
            "are texts are read one after the other as they stand. Send them as lists of messages, unless they hold "
            "the very text that training read."
        )


def _loss_differences(
    training: TrainingRecord, dataset: Dataset, gradients: GradientSettings, files: str
) -> Iterator[str]:
    # Of a row with one answer the assistant's part is its completion.
    trained = find_trained_loss(training, dataset)
    is_completion = dataset.kind == COMPLETION.name and trained == "assistant"
    said, taken = "completion" if is_completion else trained, gradients.loss
    if None not in (said, taken) and said != taken:
        yield (
            f"{files} says that in training the loss fell on {said!r}, and here it falls on {taken!r}: send rows and "
            "'loss' as in training."
        )
    is_open = said is None and training.trainer in _BY_MASKS and training.way in (None, "sft")
    if is_open and dataset.kind == CONVERSATION.name and taken != "all":
        yield (
            f"{files} names {training.trainer}, and no file says which tokens carried loss: of a conversation TRL "
            "trains on all tokens as it comes, with assistant_only_loss, or train_on_responses_only of Unsloth, on the "
            f"assistant's. Here it falls on {taken!r}; 'loss': 'all' is the other."
        )
