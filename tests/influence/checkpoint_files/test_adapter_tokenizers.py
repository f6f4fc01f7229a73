"""Tokenizer files beside an adapter: what is taken of them, and which are refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny import make_causal
from transformers import AutoTokenizer

from influence.checkpoint_files.adapters.folders import choose_files, list_files
from influence.checkpoint_files.tokenizers.expressions import why_refused
from influence.checkpoint_files.tokenizers.record import describe_tokenizer, keep_files, load_settings
from influence.checkpoint_files.tokenizers.settings import read_settings
from influence.checkpoint_files.tokenizers.template import check_template
from influence.errors import TokenizerRefused

PIPELINE, CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
#: Expressions of tokenizers that many use: GPT-2, Llama 3, GPT-4o, DeepSeek, BLOOM, Gemma, Kimi.
PUBLISHED = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{M}]*[\p{Ll}\p{Lm}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s*[\r\n]+|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r" {2,}",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}&&[^\p{Han}]]*[\p{Ll}]+",
    r"\d{1,3}(?=(?:\d{3})*\b)",
]
HOSTILE = ["(a+)+$", "(a|aa)+$", "((a*)b?)*", r"(a)\1", "(?<n>a+)", "(?R)", "(?:a?){50}", "a+" * 200, "a" * 10_000]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fast tokenizer as transformers saves it, with a template."""
    base = make_causal(tmp_path / "made").base
    for name in (PIPELINE, CONFIG):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    (tmp_path / TEMPLATE).write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    return tmp_path


def change(folder: Path, name: str, **fields: Any) -> None:
    file = folder / name
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**known, **fields}))


def test_what_a_tokenizer_is_made_from_is_read(folder: Path) -> None:
    found = read_settings(folder)
    assert found is not None
    assert found.special_tokens["eos_token"] == "[SEP]"
    assert (found.vocabulary, found.model_max_length) == (46, 64)
    assert found.files == (PIPELINE, CONFIG, TEMPLATE)
    assert isinstance(found.chat_template, str)


def test_padding_id_is_that_of_the_configuration_beside_the_adapter_or_else_the_tokenizers(folder: Path) -> None:
    change(folder, CONFIG, pad_token="[SEP]")
    settings = read_settings(folder)
    assert describe_tokenizer(settings, None).pad_token_id == 2
    assert describe_tokenizer(settings, None, 5).pad_token_id == 5
    assert describe_tokenizer(None, None).pad_token_id is None


def test_only_what_is_read_is_kept(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    (folder / "optimizer.pt").write_text("")
    settings = read_settings(folder)
    keep_files(folder, settings)
    assert {file.name for file in folder.iterdir()} == {PIPELINE, "tokenizer_settings.json", "adapter_config.json"}
    assert load_settings(folder) == settings


def test_folder_without_tokenizer_files_has_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path) is None
    assert describe_tokenizer(None, None).source == "base"


def test_template_alone_goes_with_the_bases_tokenizer(folder: Path, tmp_path: Path) -> None:
    for name in (PIPELINE, CONFIG):
        (folder / name).unlink()
    settings = read_settings(folder)
    record = describe_tokenizer(settings, tmp_path / "made" / "base")
    assert (record.source, record.chat_template_source) == ("base", "adapter")
    assert record.vocabulary == 46


@pytest.mark.parametrize(
    ("where", "written"),
    [
        (CONFIG, {"chat_template": "{{ messages[0].content }}"}),
        (CONFIG, {"chat_template": [{"name": "default", "template": "{{ messages[0].content }}"}]}),
        ("chat_template.json", {"chat_template": "{{ messages[0].content }}"}),
    ],
)
def test_template_is_found_in_every_place_that_savers_use(where: str, written: dict[str, Any], folder: Path) -> None:
    (folder / TEMPLATE).unlink()
    change(folder, where, **written)
    found = read_settings(folder)
    assert found is not None
    template = found.chat_template
    assert (template if isinstance(template, str) else (template or {})["default"]) == "{{ messages[0].content }}"


def pipeline(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder, PIPELINE, **fields)


def template(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / TEMPLATE).write_text(text)


def split(expression: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}


def replace(content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": "a"}, "content": content}


def name_without_template(folder: Path) -> None:
    (folder / TEMPLATE).unlink()
    change(folder, CONFIG, chat_template=[{"name": "default"}])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "slow form": (lambda folder: (folder / PIPELINE).rename(folder / "tokenizer.model"), CONFIG),
    "configuration alone": (lambda folder: (folder / PIPELINE).unlink(), CONFIG),
    "code of its own": (lambda folder: change(folder, CONFIG, auto_map={"AutoTokenizer": ["evil.T", None]}), CONFIG),
    "no json": (lambda folder: (folder / PIPELINE).write_text("{"), PIPELINE),
    "deep json": (lambda folder: (folder / PIPELINE).write_text("[" * 100_000), PIPELINE),
    "no object": (lambda folder: (folder / CONFIG).write_text("[]"), CONFIG),
    "no model": (pipeline(model=None), PIPELINE),
    "large": (lambda folder: (folder / "special_tokens_map.json").write_text(" " * (2 << 20)), "special_tokens_map"),
    "hanging expression": (pipeline(pre_tokenizer=split("(a+)+$")), PIPELINE),
    "hidden expression": (
        pipeline(pre_tokenizer={"type": "Sequence", "pretokenizers": [split("a"), split("(a|a)*")]}),
        PIPELINE,
    ),
    "text that grows": (
        pipeline(normalizer={"type": "Sequence", "normalizers": [replace("a" * 9) for _ in range(9)]}),
        PIPELINE,
    ),
    "many steps": (pipeline(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 99}), PIPELINE),
    "absurd id": (pipeline(added_tokens=[{"id": 1 << 40, "content": "<x>"}]), PIPELINE),
    "two tokenizers": (lambda folder: change(folder, "added_tokens.json", **{"<act>": 46}), PIPELINE),
    "unknown end": (lambda folder: change(folder, CONFIG, eos_token="<|end|>"), PIPELINE),
    "two names of the end": (lambda folder: change(folder, "special_tokens_map.json", eos_token="[PAD]"), "special"),
    "template that is no template": (template("{% for %}"), TEMPLATE),
    "template for Python's insides": (template("{{ ''.__class__.__mro__ }}"), TEMPLATE),
    "template for insides by key": (template("{{ messages['__class__'] }}"), TEMPLATE),
    "template that reads files": (template("{% include '/etc/passwd' %}"), TEMPLATE),
    "long template": (template("x" * (300 << 10)), TEMPLATE),
    "template without text": (
        name_without_template,
        CONFIG,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_file_that_cannot_be_trusted_is_refused_by_name(case: str, folder: Path) -> None:
    spoil, named = REFUSED[case]
    spoil(folder)
    with pytest.raises(TokenizerRefused) as caught:
        read_settings(folder)
    assert named in caught.value.detail
    assert caught.value.hint


def test_merges_dropped_at_random_are_refused(folder: Path) -> None:
    model = {**json.loads((folder / PIPELINE).read_text())["model"], "dropout": 0.1}
    change(folder, PIPELINE, model=model)
    with pytest.raises(TokenizerRefused, match="dropout") as caught:
        read_settings(folder)
    assert "null" in caught.value.hint


@pytest.mark.parametrize("expression", PUBLISHED)
def test_expressions_of_published_tokenizers_are_taken(expression: str) -> None:
    assert why_refused(expression) is None


@pytest.mark.parametrize("expression", HOSTILE)
def test_expression_that_would_make_the_engine_backtrack_is_refused(expression: str) -> None:
    assert why_refused(expression)


@pytest.mark.parametrize("field", ["add_bos_token", "add_eos_token"])
@pytest.mark.parametrize("is_added", [True, False])
def test_special_tokens_that_the_two_files_place_otherwise_are_refused(
    folder: Path, field: str, is_added: bool
) -> None:
    text, special = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    pieces = [special, text, special] if is_added else [text]
    change(folder, PIPELINE, post_processor={"type": "TemplateProcessing", "single": pieces, "special_tokens": {}})
    change(folder, CONFIG, **{field: is_added})
    assert read_settings(folder) is not None
    change(folder, CONFIG, **{field: not is_added})
    with pytest.raises(TokenizerRefused, match=f"{CONFIG} .*{field}"):
        read_settings(folder)


@pytest.mark.parametrize("processor", [None, {"type": "ByteLevel"}, {"type": "Sequence", "processors": []}])
def test_an_end_that_nothing_writes_is_missed_where_it_is_stated(folder: Path, processor: Any) -> None:
    change(folder, PIPELINE, post_processor=processor)
    change(folder, CONFIG, add_eos_token=False)
    assert read_settings(folder) is not None
    change(folder, CONFIG, add_eos_token=True)
    with pytest.raises(TokenizerRefused, match="add_eos_token"):
        read_settings(folder)


@pytest.mark.parametrize(
    ("step", "written", "field", "does"),
    [
        ("normalizer", {"type": "BertNormalizer", "lowercase": True}, "do_lower_case", True),
        ("normalizer", {"type": "BertNormalizer", "lowercase": True, "strip_accents": None}, "strip_accents", True),
        ("normalizer", {"type": "BertNormalizer", "strip_accents": False}, "strip_accents", False),
        ("normalizer", {"type": "BertNormalizer", "handle_chinese_chars": False}, "tokenize_chinese_chars", False),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True}, "add_prefix_space", True),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": False}, "add_prefix_space", False),
    ],
)
def test_a_texts_way_to_tokens_is_what_both_files_say(
    folder: Path, step: str, written: dict[str, Any], field: str, does: bool
) -> None:
    change(folder, PIPELINE, **{step: written})
    for stated in (None, does):
        change(folder, CONFIG, **{field: stated})
        assert read_settings(folder) is not None
    change(folder, CONFIG, **{field: not does})
    with pytest.raises(TokenizerRefused, match=f"{CONFIG} .*{field}"):
        read_settings(folder)


def test_templates_by_name_beside_the_usual_one_are_kept_as_transformers_saves_them(
    folder: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = {"default": "{{ messages[0].content }}", "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "adapter_config.json").write_text("{}")
    chosen = choose_files(list_files(tmp_path / "saved"))
    (tmp_path / "kept").mkdir()
    for path, name in chosen.items():
        shutil.copyfile(tmp_path / "saved" / path, tmp_path / "kept" / name)
    for laid in ("saved", "kept"):
        found = read_settings(tmp_path / laid)
        assert found is not None
        assert found.chat_template == tokenizer.chat_template
    (tmp_path / "kept" / "chat_template.tool_use.jinja").write_text("{% include 'x' %}")
    with pytest.raises(TokenizerRefused, match="reads other files"):
        read_settings(tmp_path / "kept")


@pytest.mark.parametrize("chance", ["{{ ['a', 'b'] | random }}", "{{ lipsum(1) }}"])
def test_a_template_that_draws_by_chance_is_refused(chance: str) -> None:
    with pytest.raises(TokenizerRefused, match="by chance"):
        check_template("{% for m in messages %}{{ m['random'] }}{% endfor %}" + chance, "chat_template.jinja")
    check_template("{% for m in messages %}{{ m['random'] }}{{ m.content | trim }}{% endfor %}", "chat_template.jinja")
