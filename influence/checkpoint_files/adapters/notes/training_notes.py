"""What trainers leave beside an adapter in plain text: by which loss it was trained.

Each trainer says it elsewhere: ms-swift in args.json, AutoTrain in training_params.json, LLaMA-Factory in
training_args.yaml, TRL and what is built on it (Unsloth) in the tags of README.md, Axolotl in the settings that it
quotes there; all of them in the names of what trainer_state.json logs. TRL's own arguments are pickled
(training_args.bin): see `pickled_arguments`. Other settings of training: see `training_settings`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.notes.pickled_arguments import PICKLED, PickledArguments, read_pickled
from influence.checkpoint_files.adapters.notes.plain_notes import (
    ARGUMENTS,
    CARD,
    PARAMETERS,
    SETTINGS,
    STATE_FILE,
    list_tags,
    load_block,
    load_lines,
    load_object,
    read_first,
)
from influence.contracts.index import MAX_FACTOR

#: Trained on chosen and rejected answers, nobody says by which loss.
PAIRS = "pairs"
#: Ways of training on text alone.
PLAIN = ("sft", "pt")
#: Ways of training a head, not a language model.
OF_HEADS = ("reward", "prm")
#: Tags of TRL's trainers -> what the way is called here.
_WAYS = (
    "sft",
    "dpo",
    "kto",
    "orpo",
    "cpo",
    "simpo",
    "bco",
    "ppo",
    "grpo",
    "rloo",
    "gkd",
    "xpo",
    "online-dpo",
    "nash-md",
    "gold",
    "minillm",
    "a2po",
    "async-distillation",
    "async-grpo",
    "distillation",
    "gmpo",
    "iw-opd",
    "papo",
    "sdft",
    "sdpo",
    "server-distillation",
    "tpo",
)
_TAGS = {name: name for name in _WAYS} | {"reward-trainer": "reward", "prm-trainer": "prm"}
_STAGES = {"rm": "reward", "default": "pt", "generic": "pt"}
#: Names in a trainer's log that only one way of training gives.
_LOGGED = (
    ({"log_odds_ratio", "log_odds_chosen", "odds_ratio_loss"}, "orpo"),
    ({"reward_std", "completions/mean_length", "clip_ratio"}, "grpo"),
)
_SIGMOID = ("sigmoid", "")
#: Settings that change the loss of a way, where they are not 0 or false.
_VARIANTS = (
    "label_smoothing",
    "rpo_alpha",
    "reference_free",
    "sync_ref_model",
    "ld_alpha",
    "use_weighting",
    "pref_bco_weight",
    "dpo_norm_loss",
)
#: What a reward model's training adds: this factor times the squared sum of both rewards.
_CENTERING = "center_rewards_coefficient"
#: Settings that name another reference than the base model as it is.
_REFERENCES = ("ref_model", "ref_adapters", "ref_model_adapters", "model_ref", "ref_adapter_name")
#: What Axolotl, whose card quotes its settings, calls the parts of a loss on preferences.
_OF_AXOLOTL = {
    "beta": "rl_beta",
    "dpo_norm_loss": "dpo_norm_loss",
    "label_smoothing": "dpo_label_smoothing",
    "loss_type": "dpo_loss_type",
    "reference_free": "dpo_reference_free",
    "rpo_alpha": "rpo_alpha",
    "use_weighting": "dpo_use_weighting",
}


@dataclass(frozen=True, slots=True)
class TrainingNotes:
    """`way` of training as `file` has it; `loss_type` where it is not the usual one of the way; what else was in the
    loss, in words; `beta` and, of reward models, the factor of `centering` where they are written. `is_bare`: the file
    names the way, and none of its settings."""

    file: str
    way: str
    loss_type: str | None = None
    beside: tuple[str, ...] = ()
    beta: float | None = None
    centering: float | None = None
    is_bare: bool = False


def read_notes(folder: Path) -> TrainingNotes | None:
    """What the files in a folder say of the loss; None where they say nothing. A broken file says nothing."""
    found = read_first(folder, _OWN_READERS) or _of_pickle(read_pickled(folder))
    return found or read_first(folder, _READERS)


def _of_pickle(found: PickledArguments | None) -> TrainingNotes | None:
    return None if found is None or found.way is None else _noted(PICKLED, found.way, found.fields)


def _of_arguments(content: str) -> TrainingNotes | None:
    fields = load_object(content)
    way = fields.get("rlhf_type")
    return _noted(ARGUMENTS, way, fields) if isinstance(way, str) and way else None


def _of_parameters(content: str) -> TrainingNotes | None:
    fields = load_object(content)
    way = fields.get("trainer")
    is_autotrain = "block_size" in fields and isinstance(way, str) and bool(way)
    said = {"beta": fields.get("dpo_beta"), "model_ref": fields.get("model_ref")}
    return _noted(PARAMETERS, str(way), said) if is_autotrain else None


def _of_settings(content: str) -> TrainingNotes | None:
    fields = load_lines(content)
    stage = fields.get("stage")
    if not isinstance(stage, str):
        return None
    renamed = {
        "loss_type": fields.get("pref_loss"),
        "beta": fields.get("pref_beta"),
        "label_smoothing": fields.get("dpo_label_smoothing"),
        "rpo_alpha": fields.get("pref_ftx"),
        **{name: fields.get(name) for name in ("ld_alpha", "pref_bco_weight", "ref_model", "ref_model_adapters")},
    }
    return _noted(SETTINGS, stage, renamed)


def _of_card(content: str) -> TrainingNotes | None:
    fields = load_block(content)
    if isinstance(way := fields.get("rl"), str) and way:
        return _noted(CARD, way, {name: fields.get(key) for name, key in _OF_AXOLOTL.items()})
    for name, way in (("reward_model", "reward"), ("process_reward_model", "prm")):
        if fields.get(name) is True:
            return _noted(CARD, way, {name: True, _CENTERING: fields.get(_CENTERING)})
    found = way_by_tags(list_tags(content))
    return None if found is None else _noted(CARD, found, {})


def way_by_tags(tags: Iterable[str]) -> str | None:
    """The one way of training that a card's tags name."""
    ways = {_TAGS[tag] for tag in tags if tag in _TAGS}
    # A model that was trained twice carries the tags of both: the later one is not the plain one.
    ways = ways - set(PLAIN) or ways
    return ways.pop() if len(ways) == 1 else None


def _of_state(content: str) -> TrainingNotes | None:
    history = load_object(content).get("log_history")
    logged = (
        {name for entry in history if isinstance(entry, dict) for name in entry} if isinstance(history, list) else ()
    )
    names = {str(name).removeprefix("eval_").removeprefix("train_") for name in logged}
    for told, way in _LOGGED:
        if names & told:
            return _noted(STATE_FILE, way, {})
    if {"rewards/chosen", "rewards/rejected"} <= names:
        return _noted(STATE_FILE, "kto" if "kl" in names else PAIRS, {})
    return None


#: Trainers that write their settings in plain text, and what is left where none of them did.
_OWN_READERS: Mapping[str, Callable[[str], TrainingNotes | None]] = {
    ARGUMENTS: _of_arguments,
    PARAMETERS: _of_parameters,
    SETTINGS: _of_settings,
}
_READERS: Mapping[str, Callable[[str], TrainingNotes | None]] = {
    CARD: _of_card,
    STATE_FILE: _of_state,
}


def _noted(file: str, way: str, fields: Mapping[str, Any]) -> TrainingNotes:
    way = _STAGES.get(way.lower(), way.lower())[:40]
    types = fields.get("loss_type") if way not in PLAIN else None
    others = [str(one)[:40] for one in (types if isinstance(types, list) else [types]) if one not in (None, *_SIGMOID)]
    beside = [
        f"{name} {value!r}" for name in _VARIANTS if (value := fields.get(name)) and isinstance(value, int | float)
    ]
    beside += [f"{name} {str(fields[name])[:80]!r}" for name in _REFERENCES if fields.get(name) and way not in PLAIN]
    divergence = fields.get("f_divergence_type")
    if isinstance(divergence, str) and divergence not in ("", "reverse_kl"):
        beside.append(f"f_divergence_type {divergence[:40]!r}")
    beta, centering = _factor(fields.get("beta")), _factor(fields.get(_CENTERING)) if way == "reward" else None
    if way == "dpo" and beta is None and fields.get("beta") is not None:
        beside.append(f"beta {fields['beta']!r}"[:80])
    if way == "reward" and centering is None and fields.get(_CENTERING):
        beside.append(f"{_CENTERING} {fields[_CENTERING]!r}"[:80])
    return TrainingNotes(
        file=file,
        way=way,
        loss_type=", ".join(others) or None,
        beside=tuple(beside),
        is_bare=not fields,
        beta=beta,
        centering=centering,
    )


def _factor(value: Any) -> float | None:
    """A factor as an index may have it; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value <= MAX_FACTOR else None
