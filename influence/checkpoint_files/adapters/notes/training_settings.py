"""Settings of training that change a row's loss or what is read of it, as far as trainers leave them in plain text.

                where                               what
ms-swift        args.json                           loss_scale, max_length, template, system, loss_type, ...
AutoTrain       training_params.json                block_size; all tokens carry loss; max_seq_length
LLaMA-Factory   training_args.yaml                  train_on_prompt, mask_history, cutoff_len, template, packing, ...
Axolotl         README.md, which quotes the config  train_on_inputs, sequence_len, label_smoothing_factor, ...
transformers    README.md, hyperparameters          label_smoothing_factor
                training_args.bin                   the same, neftune_noise_alpha
TRL             training_args.bin                   assistant_only_loss, completion_only_loss, max_length, packing, ...
any             config.json of the trained model    loss_type, class_weights, focal_gamma, label_smoothing, ...
cross-encoders  README.md, tags                     loss:<class of sentence-transformers>

What a request can say (the loss's scope, the length) is taken where it says nothing; what no loss here has is named.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.notes.pickled_arguments import PICKLED, PickledArguments, read_pickled
from influence.checkpoint_files.adapters.notes.plain_notes import (
    ARGUMENTS,
    CARD,
    PARAMETERS,
    SETTINGS,
    list_nested,
    list_tags,
    load_block,
    load_bullets,
    load_lines,
    load_object,
    load_text,
    read_first,
    short_number,
)
from influence.checkpoint_files.adapters.notes.training_notes import way_by_tags
from influence.checkpoint_files.adapters.notes.training_steps import (
    TRANSFORMERS,
    find_optimiser,
    find_reduction,
    find_step_rows,
)
from influence.checkpoint_files.adapters.trained_on import CHANGED_BELOW, find_bits, find_changes
from influence.checkpoint_files.adapters.trainer_templates.loss_scales import (
    FOLLOWED,
    SCALES,
    find_thoughts,
    split_scale,
)
from influence.checkpoint_files.adapters.trainer_templates.row_ends import ends_by_card
from influence.checkpoint_files.task.cross_encoders import CROSS_ENCODERS, find_named_losses, find_unnamed_loss
from influence.contracts.checkpoint import RowEnds, ThoughtRule
from influence.contracts.common import MAX_ROW_TOKENS, LossScope, Reduction

#: Trainers that read Alpaca's columns as a user's turn, through the model's own chat template.
TALKING = ("LLaMA-Factory", "ms-swift")
#: The one of them that writes by templates of its own and names them in no file, where it was started by command.
NAMELESS = "LLaMA-Factory"
#: Parts of a loss that none here has, each with the values that leave it out.
_PARTS: Mapping[str, tuple[Any, ...]] = {
    "label_smoothing_factor": (0,),
    "enable_dft_loss": (False,),
    "use_asft_loss": (False,),
    "use_dft_loss": (False,),
    "use_dynamic_finetuning": (False,),
    "use_eaft": (False,),
    "use_eaft_loss": (False,),
    "kd_trainer": (False,),
    "moe_aux_loss_coef": (0,),
    "router_aux_loss_coef": (0,),
}
#: Settings that an args.json of ms-swift has, and one of other tools does not.
_OF_SWIFT = frozenset({"rlhf_type", "loss_scale", "swift_version", "quant_bits", "truncation_strategy"})
_USUAL_LOSSES = (None, "", "cross_entropy", "nll", "chunked_nll")
#: What ms-swift trains by losses that compare rows with each other, or read a ranking.
_OF_BATCHES = ("embedding", "reranker", "generative_reranker")
#: What ms-swift says of rows that it writes without a chat template, as name of one.
_NO_CHAT = "use_chat_template: false"
#: What becomes of longer rows where a trainer says at how many tokens (in Axolotl, unless it is told otherwise).
_CUT_BY_SHARES = (
    "cutoff_len: of longer rows it shortened prompts and answers, each by its share, and here they lose their end"
)
_DROPPED = "sequence_len, and left longer rows out"
#: The same in ms-swift, by its `truncation_strategy`.
_LEFT_OUT = {
    "delete": "truncation_strategy 'delete', so that rows longer than max_length were left out of it",
    "left": "truncation_strategy 'left': rows longer than max_length lost their beginning, and here their end",
    "split": "truncation_strategy 'split': rows longer than max_length became several, and here lose their end",
}
#: Templates that write nothing around a turn.
WITHOUT_TURNS = ("empty", _NO_CHAT)
#: Fields of Axolotl's data sets, each with the values that say what is done here, too.
_MASKS = {
    "roles_to_train": frozenset({"assistant", "gpt", "model"}),
    "train_on_eos": frozenset({"turn"}),
    "train_on_eot": frozenset({"turn"}),
}
_BARE = re.compile(r"[^a-z_]+")
_NOISE = ("neftune_noise_alpha", "noisy_embedding_alpha")
_MODEL, _MAX_MODEL_BYTES = "config.json", 1 << 20
#: How transformers calls the losses of its own heads, and fields by which models of others weigh or change theirs.
_OF_TRANSFORMERS = "For"
_OF_MODELS = (
    "class_weight",
    "class_weights",
    "focal_gamma",
    "focal_loss",
    "label_smoothing",
    "label_smoothing_factor",
    "loss_weights",
    "pos_weight",
    "use_focal_loss",
)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What `files` say: the `trainer`; which tokens carried `loss`, and which did of a prompt with its completion where
    that is another thing (`completion_loss`); at how many tokens rows were cut (`max_length`);
    parts of the loss that are not scored, and what training did to rows beside, both in words; the trainer's own
    `template` of conversations, the `system` prompt that it gave those without one, whether answers were to think
    (`enable_thinking`), and what became of their `thoughts`; what the loss of a head is called (`problem_type`); in how
    many `bits` the base was read; how rows were ended (`ends`); whether a row's loss was the mean or the sum over its
    tokens (`reduction`); the rows of a step (`batch_rows`), and its `optimizer`."""

    files: tuple[str, ...]
    trainer: str | None = None
    loss: LossScope | None = None
    completion_loss: LossScope | None = None
    max_length: int | None = None
    unscored: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    template: str | None = None
    system: str | None = None
    enable_thinking: bool | None = None
    thoughts: tuple[ThoughtRule, ...] | None = None
    problem_type: str | None = None
    bits: int | None = None
    ends: RowEnds | None = None
    reduction: Reduction | None = None
    batch_rows: int | None = None
    optimizer: str | None = None

    @property
    def file(self) -> str:
        """The files' names, for a sentence."""
        return " with ".join(self.files)


def read_training(folder: Path) -> TrainingSettings | None:
    """What the files in a folder say of the training; None where they say nothing. A broken file says nothing.

    The trainer's pickled arguments fill in what its plain text leaves open.
    """
    return _with_model(_with_pickled(read_first(folder, _READERS), read_pickled(folder)), folder / _MODEL)


def _with_model(found: TrainingSettings | None, file: Path) -> TrainingSettings | None:
    """With what the model's own configuration says of its loss, where a trainer wrote one beside the adapter."""
    is_small = file.is_file() and file.stat().st_size <= _MAX_MODEL_BYTES
    fields = load_object(file.read_bytes().decode("utf-8", errors="replace")) if is_small else {}
    kind = fields.get("loss_type")
    unscored = [f"loss_type {kind!r}"[:80]] if isinstance(kind, str) and not kind.startswith(_OF_TRANSFORMERS) else []
    unscored += [name for name in _OF_MODELS if fields.get(name)]
    if found is None or found.trainer != CROSS_ENCODERS:
        unscored += find_unnamed_loss(fields)
    if not unscored:
        return found
    if found is None:
        return TrainingSettings(files=(_MODEL,), unscored=tuple(unscored))
    return replace(found, files=(*found.files, _MODEL), unscored=(*found.unscored, *unscored))


def _with_pickled(written: TrainingSettings | None, pickled: PickledArguments | None) -> TrainingSettings | None:
    if pickled is None:
        return written
    found = _of_pickle(pickled)
    if written is None:
        return None if found == TrainingSettings(files=found.files) else found
    # Unsloth trains by TRL, and masks conversations by itself.
    is_own = written.trainer in (None, "TRL", "Unsloth")
    merged = replace(
        written,
        trainer=written.trainer or found.trainer,
        loss=found.loss if written.loss is None and is_own and written.trainer != "Unsloth" else written.loss,
        completion_loss=found.completion_loss if is_own else None,
        ends=(found.ends or written.ends) if is_own else None,
        max_length=found.max_length if written.max_length is None else written.max_length,
        unscored=(*dict.fromkeys((*written.unscored, *found.unscored)),),
        beside=(*dict.fromkeys((*written.beside, *found.beside)),),
        reduction=found.reduction if is_own else written.reduction,
        batch_rows=written.batch_rows or found.batch_rows,
        optimizer=written.optimizer or found.optimizer,
    )
    return written if merged == written else replace(merged, files=(*written.files, PICKLED))


def _of_pickle(pickled: PickledArguments) -> TrainingSettings:
    kind = pickled.fields.get("loss_type") if pickled.way == "sft" else None
    unscored = (f"loss_type {kind!r}"[:80],) if isinstance(kind, str) and kind not in _USUAL_LOSSES else ()
    found = _settings(
        PICKLED,
        None if pickled.way is None else "Unsloth" if pickled.is_unsloth else "TRL",
        {**pickled.fields, "max_length": pickled.max_length},
        pickled.loss,
        length="max_length",
        unscored=unscored,
        beside=(*pickled.describe_rows(),) if pickled.way else (),
    )
    return replace(
        found,
        completion_loss=pickled.completion_loss,
        ends=pickled.ends,
        reduction=find_reduction(found.trainer or TRANSFORMERS, pickled.fields),
    )


def _of_arguments(content: str) -> TrainingSettings | None:
    fields = load_object(content)
    if not fields.keys() & _OF_SWIFT:
        return None
    # With 'jinja' training wrote rows by the tokenizer's own chat template.
    is_own = fields.get("template_backend") != "jinja"
    name = _named(fields, "template") or _named(fields, "template_type")
    name = _NO_CHAT if fields.get("use_chat_template") is False else name
    is_preference = bool(fields.get("rlhf_type"))
    scale = fields.get("loss_scale")
    base, *parts = split_scale(str(scale or ""))
    thoughts = find_thoughts(fields, name, base, parts) if is_own else None
    is_followed = not parts or (thoughts is not None and parts in FOLLOWED)
    weighed = [] if is_followed else [f"loss_scale {scale!r}"[:80]]
    kind = None if is_preference else fields.get("loss_type")
    weighed += [f"loss_type {kind!r}"[:80]] if kind not in _USUAL_LOSSES else []
    weighed += [f"task_type {kind!r}" for kind in (fields.get("task_type"),) if kind in _OF_BATCHES]
    left_out = _LEFT_OUT.get(str(fields.get("truncation_strategy")))
    found = _settings(
        ARGUMENTS,
        "ms-swift",
        # None is its default: as many tokens as the model takes.
        {**fields, "max_length": MAX_ROW_TOKENS} if fields.get("max_length", 0) is None else fields,
        SCALES.get(base),
        length="max_length",
        unscored=tuple(weighed),
        beside=(left_out,) if left_out and fields.get("max_length") else (),
    )
    return replace(
        found,
        template=name if is_own else None,
        system=_named(fields, "system"),
        thoughts=thoughts,
        problem_type=_named(fields, "problem_type"),
    )


def _of_parameters(content: str) -> TrainingSettings | None:
    fields = load_object(content)
    if fields.keys() >= {"project_name", "max_seq_length"}:
        return _of_small_parameters(fields)
    if "block_size" not in fields or not isinstance(fields.get("trainer"), str):
        return None
    loss: LossScope | None = "all" if fields["trainer"] in ("sft", "default", "generic") else None
    return _settings(PARAMETERS, "AutoTrain", fields, loss, length="block_size")


def _of_small_parameters(fields: Mapping[str, Any]) -> TrainingSettings:
    """AutoTrain of other models than decoders: it gives each token of a word the word's tag, and cuts the answers of
    an encoder-decoder at a length of their own."""
    loss: LossScope | None = "all" if "tags_column" in fields else None
    most = fields.get("max_target_length")
    beside: tuple[str, ...] = ()
    if isinstance(most, int | float) and most != fields["max_seq_length"]:
        beside = (f"max_target_length {short_number(most)}: answers longer than that lost their end",)
    # Its default names bits, which only adapters are trained in.
    read = {name: value for name, value in fields.items() if name != "quantization" or fields.get("peft") is True}
    return _settings(PARAMETERS, "AutoTrain", read, loss, length="max_seq_length", beside=beside)


def _of_settings(content: str) -> TrainingSettings | None:
    fields = load_lines(content)
    if not isinstance(fields.get("stage"), str):
        return None
    loss: LossScope = (
        "all"
        if fields.get("train_on_prompt") is True or fields["stage"] == "pt"
        else "completion"
        if fields.get("mask_history") is True
        else "assistant"
    )
    is_joined = fields.get("packing") is True and fields.get("neat_packing") is not True
    beside: tuple[str, ...] = (_CUT_BY_SHARES,) if fields.get("cutoff_len") else ()
    beside += ("packing, so that rows read those before them in the same sequence",) if is_joined else ()
    before = fields.get("adapter_name_or_path")
    if isinstance(before, str) and before and fields.get("create_new_adapter") is True:
        beside += (
            f"create_new_adapter: {before[:120]!r} was merged into the base model before, and scores are right only on "
            "the merged one",
        )
    found = _settings(SETTINGS, "LLaMA-Factory", fields, loss, length="cutoff_len", beside=beside)
    # Where history is masked, versions differ in what becomes of its thoughts.
    thinks = fields.get("enable_thinking") if fields.get("mask_history") is not True else None
    return replace(
        found,
        template=_named(fields, "template"),
        system=load_text(content, "default_system"),
        enable_thinking=thinks if isinstance(thinks, bool) else None,
    )


def _of_card(content: str) -> TrainingSettings | None:
    tags = set(list_tags(content))
    fields = load_block(content)
    if "axolotl" in tags or fields:
        stated = fields.get("train_on_inputs")
        loss: LossScope | None = "all" if stated is True else "assistant" if stated is False else None
        leaves_out = fields.get("sequence_len") and fields.get("excess_length_strategy") in (None, "drop")
        below = (name for name in CHANGED_BELOW if name not in fields and [*list_nested(content, name)])
        changed = (f"{name}, which the base model does not have here" for name in below)
        beside = (*_masks(content), *changed, *((_DROPPED,) if leaves_out else ()))
        return _settings(CARD, "Axolotl", fields, loss, length="sequence_len", beside=beside)
    listed = load_bullets(content)
    trainer = next((name for tag, name in _TRAINERS.items() if tag in tags), None)
    found = _settings(CARD, trainer, listed, None, length="", unscored=tuple(find_named_losses(tags)))
    ends = ends_by_card(content, way_by_tags(tags), trainer)
    # Before there was a mask of completions, all of a row carried loss.
    is_whole = ends in ("as_tokenised", "unless_there")
    found = replace(found, ends=ends, completion_loss="all" if is_whole else None)
    return found if trainer or found.unscored or found.beside else None


def _masks(card: str) -> Iterator[str]:
    """Where Axolotl's data sets had their loss elsewhere than on the assistant's turns, each with its end."""
    for name, usual in _MASKS.items():
        for said in dict.fromkeys(list_nested(card, name)):
            if set(_BARE.sub(" ", said).split()) - usual:
                yield f"{name} {said[:60]}: other tokens carried loss than do here"


_TRAINERS = {
    "cross-encoder": CROSS_ENCODERS,
    "llama-factory": "LLaMA-Factory",
    "unsloth": "Unsloth",
    "trl": "TRL",
}
_READERS: Mapping[str, Callable[[str], TrainingSettings | None]] = {
    ARGUMENTS: _of_arguments,
    PARAMETERS: _of_parameters,
    SETTINGS: _of_settings,
    CARD: _of_card,
}


def _settings(
    file: str,
    trainer: str | None,
    fields: Mapping[str, Any],
    loss: LossScope | None,
    *,
    length: str,
    unscored: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
) -> TrainingSettings:
    tokens = fields.get(length)
    is_length = isinstance(tokens, int | float) and not isinstance(tokens, bool) and tokens >= 1
    return TrainingSettings(
        files=(file,),
        trainer=trainer,
        loss=loss,
        max_length=int(min(tokens, MAX_ROW_TOKENS)) if is_length and tokens is not None else None,
        unscored=(*unscored, *_parts(fields)),
        beside=(*beside, *find_changes(fields), *_noise(fields)),
        bits=find_bits(fields),
        reduction=find_reduction(trainer, fields),
        batch_rows=find_step_rows(fields),
        optimizer=find_optimiser(fields),
    )


def _named(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _parts(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, usual in _PARTS.items():
        value = fields.get(name)
        if isinstance(value, int | float) and value not in usual:
            yield f"{name} {short_number(value)}" if not isinstance(value, bool) else name


def _noise(fields: Mapping[str, Any]) -> Iterator[str]:
    for name in _NOISE:
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            yield f"{name} {short_number(value)}, noise that is left out here as dropout is"
