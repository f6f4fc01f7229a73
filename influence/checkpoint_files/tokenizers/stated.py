"""What tokenizer_config.json says of a text's way to ids, held against tokenizer.json, which alone is followed.

transformers gives the first the last word when it loads, and writes both alike when it saves: where they differ, one
was changed by hand, and training read what is not followed here.
"""

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
    """Raise TokenizerRefused where the two say otherwise of special tokens at a text's ends, or of its case."""
    template = _template(pipeline.get("post_processor"))
    for field, end in _ENDS.items():
        stated = config.get(field)
        if isinstance(stated, bool) and template is not None and stated != _is_special(template, end):
            raise refuse_file(_CONFIG, f"says {field} {str(stated).lower()}, and tokenizer.json does otherwise", _HINT)
    lowers, stated = _lowers(pipeline.get("normalizer")), config.get("do_lower_case")
    if lowers is not None and isinstance(stated, bool) and stated != lowers:
        said = str(stated).lower()
        raise refuse_file(_CONFIG, f"says do_lower_case {said}, and tokenizer.json does otherwise", _HINT)


def _lowers(normalizer: Any) -> bool | None:
    """Whether letters are made small; None for a step that transformers leaves as it is."""
    is_bert = isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer"
    return bool(normalizer.get("lowercase")) if is_bert else None


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
