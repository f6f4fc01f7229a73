"""Chat templates of uploads run in a process of their own: as transformers renders them, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from support.tiny import make_causal
from transformers import AutoTokenizer

from workers.tasks.encoding import TextEncoder
from workers.tasks.foreign.templates import TemplateFailed, TemplateProcess

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "refund my card", "name": None},
    {"role": "assistant", "content": "it is late"},
    {"role": "user", "content": "thanks"},
    {"role": "assistant", "content": "please wait"},
]
TEMPLATE = """{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}
{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}
{% endfor %}{% if tools %}{{ tools|tojson }}{% endif %}{% if add_generation_prompt %}answer: {% endif %}"""
ENDLESS = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
HOSTILE = {
    "memory": "{{ 'a' * 10000000000 }}",
    "memory by doubling": "{% set n = namespace(x='a') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
    "{{ n.x }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "insides": "{{ messages|attr('__class__') }}{{ (messages|attr('__class__')).mro() }}",
    "range": "{% for a in range(10 ** 9) %}{% endfor %}",
    "refusal": "{{ raise_exception('no such turn') }}",
    "division": "{{ 1 / 0 }}",
}


@pytest.fixture(scope="module")
def process() -> TemplateProcess:
    """One child for all tests that it survives."""
    return TemplateProcess()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    found = AutoTokenizer.from_pretrained(make_causal(tmp_path).base)
    found.chat_template = TEMPLATE
    return found


@pytest.mark.parametrize(
    "how",
    [
        {"tokenize": False},
        {"tokenize": False, "add_generation_prompt": True},
        {"tokenize": False, "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True},
    ],
)
def test_conversation_is_rendered_as_transformers_does(
    how: dict[str, Any], tokenizer: Any, process: TemplateProcess
) -> None:
    apart = TextEncoder(tokenizer, limit=64, on_too_long="fail", templates=process)
    plain = TextEncoder(tokenizer, limit=64, on_too_long="fail")
    found, expected = (encoder.apply_template(MESSAGES, **how) for encoder in (apart, plain))
    assert found == expected
    if isinstance(found, str):
        assert "refund" in found
    else:
        assert 0 < sum(found["assistant_masks"]) < len(found["input_ids"])


def test_every_template_is_told_the_same_day(tokenizer: Any, process: TemplateProcess) -> None:
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}"
    for templates in (process, None):
        encoder = TextEncoder(tokenizer, limit=64, on_too_long="fail", templates=templates)
        assert encoder.apply_template(MESSAGES, tokenize=False) == "26 Jul 2024"


@pytest.mark.parametrize("case", HOSTILE)
def test_template_that_does_not_behave_fails_and_leaves_the_child_alive(case: str, process: TemplateProcess) -> None:
    with pytest.raises(TemplateFailed):
        process.render(HOSTILE[case], MESSAGES)
    assert process.render("{{ messages[0].content }}", MESSAGES) == [("refund my card", False)]


def test_template_without_end_is_ended_and_its_child_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    process = TemplateProcess()
    process.render("{{ 1 }}", MESSAGES)
    monkeypatch.setattr("workers.tasks.foreign.templates.SECONDS", 0.5)
    with pytest.raises(TemplateFailed, match="does not end"):
        process.render(ENDLESS, MESSAGES)
    with pytest.raises(TemplateFailed, match="before"):
        process.render("{{ 1 }}", MESSAGES)


def test_child_sees_no_secret_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAINF_API_KEYS", "secret")
    process = TemplateProcess()
    process.render("{{ 1 }}", MESSAGES)
    child = process._child
    assert child is not None
    assert b"secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
