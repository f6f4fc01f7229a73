"""What tokenizer.json may make of a text: bounded in size and steps, and the same on every run."""

from collections.abc import Iterator
from typing import Any

from influence.checkpoint_files.tokenizers.expressions import why_refused
from influence.checkpoint_files.tokenizers.refusal import refuse_file

FILE = "tokenizer.json"
MAX_ENTRIES = 2_000_000
MAX_PARTS = 64
#: How many times longer than a text its normalised form may get.
_MAX_GROWTH = 64.0


def check_pipeline(content: dict[str, Any]) -> None:
    """Raise TokenizerRefused for a part that could hang or fill a worker, or read a text in a new way each time."""
    model = content.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise refuse_file(FILE, "has no model with a vocabulary")
    if isinstance(model.get("dropout"), int | float) and model["dropout"] > 0:
        raise refuse_file(
            FILE,
            f"drops merges at random (dropout {model['dropout']}), so that a text has no tokens of its own",
            "Set 'dropout' in its model to null: gradients are taken without dropout.",
        )
    if max(len(model["vocab"]), len(content.get("added_tokens") or ())) > MAX_ENTRIES:
        raise refuse_file(FILE, f"has more than {MAX_ENTRIES:,} entries")
    parts = [part for kind in ("normalizer", "pre_tokenizer", "post_processor") for part in _parts(content.get(kind))]
    if len(parts) > MAX_PARTS:
        raise refuse_file(FILE, f"has more than {MAX_PARTS} steps")
    growth = 1.0
    for part in parts:
        _check_expression(part)
        growth *= _growth_of(part)
    if growth > _MAX_GROWTH:
        raise refuse_file(FILE, f"makes a text more than {_MAX_GROWTH:.0f} times longer")


def _parts(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All steps, those inside sequences included."""
    if not isinstance(value, dict) or depth > MAX_PARTS:
        return
    yield value
    for inner in ("normalizers", "pretokenizers", "processors"):
        for part in value.get(inner) or ():
            yield from _parts(part, depth + 1)


def _check_expression(part: dict[str, Any]) -> None:
    pattern = part.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(expression, str) and (reason := why_refused(expression)):
        raise refuse_file(FILE, f"holds a regular expression that {reason} ({expression[:60]!r})")


def _growth_of(part: dict[str, Any]) -> float:
    """How many times longer a step can make a text."""
    if part.get("type") == "Replace":
        pattern = part.get("pattern")
        replaced = pattern.get("String") if isinstance(pattern, dict) else None
        return max(1.0, len(str(part.get("content", ""))) / max(1, len(replaced or " ")))
    if part.get("type") == "TemplateProcessing":
        return float(max(1, *(_times_read(part.get(kind)) for kind in ("single", "pair"))))
    return 1.0


def _times_read(template: Any) -> int:
    pieces = template if isinstance(template, list) else []
    return max(len(pieces) // 8, sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces) // 2)
