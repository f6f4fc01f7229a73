"""Base models that read pictures or sounds beside text: those whose text path is exact for rows of text, by name."""

from collections.abc import Mapping
from typing import Any

from influence.contracts.tasks import CAUSAL_LM, IMAGE_CLASSES, SEQ2SEQ_LM, TaskName
from influence.errors import TaskMismatch

#: Types of models that compute a row of text as a language model does, alone and in a batch; each is tested.
EXACT_FOR_TEXT = frozenset(
    {"gemma3", "idefics3", "llama4", "llava", "mistral3", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm"}
)
#: Types of models that have a classifier of images above their part for pictures, and need no text for it; tested.
EXACT_FOR_IMAGES = frozenset({"clip", "metaclip_2", "siglip"})
_OTHER_SENSES = ("vision_config", "audio_config", "vision_tower", "mm_vision_tower")


def is_multimodal(config: Mapping[str, Any]) -> bool:
    """Whether a model's configuration has a part for pictures or sounds."""
    return any(config.get(name) for name in _OTHER_SENSES)


_BESIDE = "what it computes of a row depends on how long the rows beside it in a batch are"
_LANGUAGES = "its tokenizer writes the mark of a language into every answer, and no file says which one training had"
_DECODER = "what its decoder reads is made in a way of its own"
#: Kinds of models whose loss of a row is not known to be training's, and why.
_INEXACT = dict.fromkeys(
    (
        *("canine", "convbert", "cpmant", "deepseek_v32", "fnet", "funnel", "glm_moe_dsa", "mobilebert"),
        *("nystromformer", "reformer", "xlnet", "yoso"),
    ),
    _BESIDE,
)
#: Kinds of models of which one field decides that, with the value by which a row is what it is alone.
_SPARSE = {"big_bird": ("attention_type", "original_full"), "bigbird_pegasus": ("attention_type", "original_full")}
#: The same where they write an answer to a text.
_INEXACT_ANSWERS = {
    **{"m2m_100": _LANGUAGES, "mbart": _LANGUAGES, "nllb-moe": _LANGUAGES},
    **{"blenderbot": _DECODER, "blenderbot-small": _DECODER, "prophetnet": _DECODER},
}
_PIXELS_ALONE = ", and rows are given to models as pixels alone"
#: Classifiers of images that read something else than the pixels that a processor makes of one, or that none trains.
_OTHER_PICTURES = {
    "imagegpt": f"it reads colours as tokens{_PIXELS_ALONE}",
    "perceiver": f"it reads what a preprocessor of its own makes of an image{_PIXELS_ALONE}",
    "pp_lcnet": "transformers gives it no loss of labels, so that nobody's training is known",
    "siglip2": f"it reads patches with their mask and the shape of the image{_PIXELS_ALONE}",
}


def refuse_inexact(config: Mapping[str, Any], task: TaskName) -> None:
    """Raise TaskMismatch for a model that a task's rows are not known to be exact on."""
    if task == IMAGE_CLASSES.name:
        _refuse_other_pictures(config)
    else:
        _refuse_inexact_text(config, task)


def _refuse_other_pictures(config: Mapping[str, Any]) -> None:
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in _OTHER_PICTURES:
        reason = _OTHER_PICTURES[kind]
    elif is_multimodal(config) and kind not in EXACT_FOR_IMAGES:
        reason = "it reads more than images, and that it gives each image its own loss is not known"
    else:
        return
    raise TaskMismatch(
        f"Models of type {str(kind)[:60]!r} are not scored as {IMAGE_CLASSES.name}: {reason}.",
        hint=f"This model cannot be scored. Of models that read texts, too, {', '.join(sorted(EXACT_FOR_IMAGES))} are.",
        extra={"model_type": str(kind)[:60]},
    )


def _refuse_inexact_text(config: Mapping[str, Any], task: TaskName) -> None:
    """Raise TaskMismatch for a model that rows of text are not known to be exact on: a multimodal one above all."""
    kind = config.get("model_type")
    known = _INEXACT | (_INEXACT_ANSWERS if task == SEQ2SEQ_LM.name else {})
    if isinstance(kind, str) and kind in known:
        raise TaskMismatch(
            f"Models of type {kind!r} are not scored as {task}: {known[kind]}.",
            hint="This model cannot be scored.",
            extra={"model_type": kind},
        )
    field, exact = _SPARSE.get(str(kind), ("", ""))
    if field and config.get(field) != exact:
        raise TaskMismatch(
            f"Models of type {kind!r} with {field} {config.get(field, 'block_sparse')!r} are not scored: {_BESIDE}.",
            hint=f"Set {field!r} to {exact!r} in the config.json of the base model and send that folder: rows of up "
            "to 700 tokens are computed so anyhow.",
            extra={"model_type": kind, "field": field},
        )
    if not is_multimodal(config) or (kind in EXACT_FOR_TEXT and task == CAUSAL_LM.name):
        return
    reason = (
        f"task {task!r} is not scored on such models"
        if kind in EXACT_FOR_TEXT
        else "that its text path gives each row of text its own loss is not known"
    )
    raise TaskMismatch(
        f"The base model is a multimodal one (model type {str(kind)[:60]!r}): {reason}.",
        hint=f"Rows of text are scored as {CAUSAL_LM.name} on the model types {', '.join(sorted(EXACT_FOR_TEXT))}. For "
        "others, train the adapter on the language model alone, saved as a model of its own.",
        extra={"model_type": str(kind)[:60]},
    )
