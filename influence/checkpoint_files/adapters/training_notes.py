"""What trainers leave beside an adapter in plain text: by which loss it was trained.

Each trainer says it elsewhere: ms-swift in args.json, LLaMA-Factory in training_args.yaml, TRL and what is built on it
(Unsloth, Axolotl) in the tags of README.md; all of them in the names of what trainer_state.json logs. TRL's own
arguments are pickled (training_args.bin) and never read.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE_FILE = "trainer_state.json"
_ARGUMENTS, _SETTINGS, _CARD = "args.json", "training_args.yaml", "README.md"
#: The files with the most bytes that each is read with: a larger one says nothing.
NOTE_FILES = {_ARGUMENTS: 1 << 20, _SETTINGS: 1 << 20, _CARD: 1 << 20, STATE_FILE: 8 << 20}
#: Trained on chosen and rejected answers, nobody says by which loss.
PAIRS = "pairs"
#: Ways of training on text alone.
PLAIN = ("sft", "pt")
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
)
_TAGS = {name: name for name in _WAYS} | {"reward-trainer": "reward"}
_STAGES = {"rm": "reward"}
#: Names in a trainer's log that only one way of training gives.
_LOGGED = (
    ({"log_odds_ratio", "log_odds_chosen", "odds_ratio_loss"}, "orpo"),
    ({"reward_std", "completions/mean_length", "clip_ratio"}, "grpo"),
)
_TAG = re.compile(r"-\s*['\"]?([A-Za-z0-9_.:/-]{1,200})['\"]?")
_SETTING = re.compile(r"([a-z_]{1,64}):\s*([^\s#][^#]{0,200})(?:#.*)?")
_SIGMOID = ("sigmoid", "")


@dataclass(frozen=True, slots=True)
class TrainingNotes:
    """`way` of training as `file` has it; `loss_type` where it is not the usual one of the way; what else was in the
    loss, in words; `beta` where it is written."""

    file: str
    way: str
    loss_type: str | None = None
    beside: tuple[str, ...] = ()
    beta: float | None = None


def read_notes(folder: Path) -> TrainingNotes | None:
    """What the files in a folder say of the loss; None where they say nothing. A broken file says nothing."""
    return next((found for name in NOTE_FILES if (found := _read(folder / name, _READERS[name])) is not None), None)


def _read(file: Path, reader: Callable[[str], TrainingNotes | None]) -> TrainingNotes | None:
    if not file.is_file() or file.stat().st_size > NOTE_FILES[file.name]:
        return None
    return reader(file.read_bytes().decode("utf-8", errors="replace"))


def _of_arguments(content: str) -> TrainingNotes | None:
    fields = _load(content)
    way = fields.get("rlhf_type")
    return _noted(_ARGUMENTS, way, fields) if isinstance(way, str) and way else None


def _of_settings(content: str) -> TrainingNotes | None:
    lines = (_SETTING.fullmatch(line.strip()) for line in content.splitlines())
    fields: dict[str, Any] = {line[1]: _scalar(line[2]) for line in lines if line}
    stage = fields.get("stage")
    if not isinstance(stage, str):
        return None
    renamed = {
        "loss_type": fields.get("pref_loss"),
        "beta": fields.get("pref_beta"),
        "label_smoothing": fields.get("dpo_label_smoothing"),
        "rpo_alpha": fields.get("pref_ftx"),
    }
    return _noted(_SETTINGS, stage, renamed)


def _of_card(content: str) -> TrainingNotes | None:
    opening = content.split("\n---", 1)[0] if content.startswith("---") else ""
    ways = {_TAGS[tag] for line in opening.splitlines() if (tag := _tag_of(line)) in _TAGS}
    # A model that was trained twice carries the tags of both: the later one is not the plain one.
    ways = ways - set(PLAIN) or ways
    return _noted(_CARD, ways.pop(), {}) if len(ways) == 1 else None


def _of_state(content: str) -> TrainingNotes | None:
    history = _load(content).get("log_history")
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


_READERS: Mapping[str, Callable[[str], TrainingNotes | None]] = {
    _ARGUMENTS: _of_arguments,
    _SETTINGS: _of_settings,
    _CARD: _of_card,
    STATE_FILE: _of_state,
}


def _noted(file: str, way: str, fields: Mapping[str, Any]) -> TrainingNotes:
    way = _STAGES.get(way.lower(), way.lower())[:40]
    types = fields.get("loss_type")
    others = [str(one)[:40] for one in (types if isinstance(types, list) else [types]) if one not in (None, *_SIGMOID)]
    beside = [
        f"{name} {value!r}"
        for name in ("label_smoothing", "rpo_alpha", "reference_free")
        if (value := fields.get(name)) and isinstance(value, int | float)
    ]
    divergence = fields.get("f_divergence_type")
    if isinstance(divergence, str) and divergence not in ("", "reverse_kl"):
        beside.append(f"f_divergence_type {divergence[:40]!r}")
    beta = fields.get("beta")
    return TrainingNotes(
        file=file,
        way=way,
        loss_type=", ".join(others) or None,
        beside=tuple(beside),
        beta=float(beta) if isinstance(beta, int | float) and not isinstance(beta, bool) else None,
    )


def _load(content: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _tag_of(line: str) -> str:
    found = _TAG.fullmatch(line.strip())
    return found[1].lower() if found else ""


def _scalar(text: str) -> Any:
    """A value of YAML as far as it is needed: a number, or the text itself."""
    bare = text.strip().strip("'\"")
    try:
        return float(bare)
    except ValueError:
        return bare
