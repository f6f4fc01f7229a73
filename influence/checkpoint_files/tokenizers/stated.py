"""What tokenizer_config.json says of a text's way to ids, held against tokenizer.json, which alone is followed.

transformers gives the first the last word when it loads, and writes both alike when it saves: where they differ, one
was changed by hand, and training read what is not followed here.
"""

from collections.abc import Iterator
from typing import Any

from influence.checkpoint_files.tokenizers.refusal import refuse_file

_CONFIG = "tokenizer_config.json"
#: Field -> which end of a text it is about.
_ENDS = {"add_bos_token": 0, "add_eos_token": -1}
_HINT = (
    "Load the tokenizer where the adapter was trained and save it again, AutoTokenizer.from_pretrained(folder)."
    "save_pretrained(folder): that writes both files alike."
)


def check_stated(config: dict[str, Any], pipeline: dict[str, Any]) -> None:
    """Raise TokenizerRefused where the two say otherwise of a text's ends, its case, accents or first space."""
    template = _template(pipeline.get("post_processor"))
    for field, end in _ENDS.items():
        stated = config.get(field)
        if isinstance(stated, bool) and template is not None and stated != _is_special(template, end):
            raise refuse_file(_CONFIG, f"says {field} {str(stated).lower()}, and tokenizer.json does otherwise", _HINT)
    for field, does in (*_of_bert(pipeline.get("normalizer")), *_of_bytes(pipeline.get("pre_tokenizer"))):
        stated = config.get(field)
        if isinstance(stated, bool) and stated != does:
            said = str(stated).lower()
            raise refuse_file(_CONFIG, f"says {field} {said}, and tokenizer.json does otherwise", _HINT)


def _of_bert(normalizer: Any) -> Iterator[tuple[str, bool]]:
    """What BERT's step does with case, accents and Chinese characters; nothing of a step that transformers leaves as
    it is."""
    if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
        return
    lowers, strips = bool(normalizer.get("lowercase")), normalizer.get("strip_accents")
    yield ("do_lower_case", lowers)
    # Accents go with the case where nothing is said of them.
    yield ("strip_accents", lowers if strips is None else bool(strips))
    yield ("tokenize_chinese_chars", bool(normalizer.get("handle_chinese_chars", True)))


def _of_bytes(step: Any) -> Iterator[tuple[str, bool]]:
    """Whether a step on bytes sets a space before a text's first word."""
    if isinstance(step, dict) and step.get("type") == "ByteLevel":
        yield ("add_prefix_space", bool(step.get("add_prefix_space", True)))


def _template(processor: Any) -> list[Any] | None:
    """The pieces round one text; none where nothing is added, None where another step than a template may add some."""
    if not isinstance(processor, dict):
        return []
    steps = processor.get("processors") if processor.get("type") == "Sequence" else [processor]
    kinds = {str(step.get("type")): step for step in steps or () if isinstance(step, dict)}
    if kinds.keys() <= {"ByteLevel"}:
        return []
    template = kinds.get("TemplateProcessing", {}).get("single")
    return template if isinstance(template, list) else None


def _is_special(template: list[Any], end: int) -> bool:
    return bool(template) and isinstance(template[end], dict) and "SpecialToken" in template[end]
