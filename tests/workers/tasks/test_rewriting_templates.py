"""Conversations of several turns through templates that write a turn differently once others follow it."""

from itertools import product
from typing import Any

import pytest
import torch
from support.trials.float64 import Float64Throughout
from support.uploads.chat_tasks import make_task, make_tokenizer, supervised_text
from support.uploads.thinking_templates import ALWAYS_THINKS, CLOSED, FORGETS, TEMPLATES, marked, plain
from transformers import LlamaConfig, LlamaForCausalLM

from influence.errors import RowsUnfit
from workers.gradients.collector import GradientCollector
from workers.tasks.base import Prediction
from workers.tasks.encoding import TextEncoder
from workers.tasks.foreign.templates import TemplateProcess
from workers.tasks.kinds.causal_lm import CausalLM


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, thought: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "reasoning_content": thought, "thinking": thought}


CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look"}}]}
TALKS: dict[str, list[dict[str, Any]]] = {
    "nothing thought": [user("hi"), said("hello"), user("why?"), said("because")],
    "thought": [user("hi"), said("hello", "greet"), user("why?"), said("because", "reason")],
    "the last word is the user's": [{"role": "system", "content": "S"}, user("hi"), said("hello"), user("why?")],
    "words like tags": [user("<b>x"), said("<b>x"), user("<b>x"), said("<b>x"), user("<b>x"), said("<b>x")],
    "the assistant first": [said("welcome"), user("hi"), said("hello"), user("why?"), said("because")],
    "two turns in a row": [user("hi"), said("one"), said("two"), user("x"), said("three")],
}
INLINE = [user("hi"), said("<think>\na\n</think>\n\nhello"), user("why?"), said("<think>\nb\n</think>\n\nbecause")]
TOOLS = [
    *(user("hi"), CALL, {"role": "tool", "content": "t"}, {"role": "tool", "content": "u"}, said("found")),
    *(user("more?"), CALL, {"role": "tool", "content": "v"}, said("done")),
]
CASES: list[tuple[str, list[dict[str, Any]]]] = [
    *product(TEMPLATES, TALKS.values()),
    *product(["forgets", "closed", "emptied", "channels"], [INLINE]),
    ("forgets", TOOLS),
]


HOW: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True}


@pytest.mark.parametrize(("template", "talk"), CASES)
def test_loss_falls_where_the_templates_author_would_have_marked_it(template: str, talk: list[dict[str, Any]]) -> None:
    tagged = make_tokenizer(template=marked(TEMPLATES[template]))
    messages = [{name: value for name, value in message.items() if value is not None} for message in talk]
    tools = [{"name": "look"}] if template == "moves tools" else None
    expected = tagged.apply_chat_template(messages, tools=tools, **HOW)
    kept = [
        token for token, is_marked in zip(expected["input_ids"], expected["assistant_masks"], strict=True) if is_marked
    ]
    task = make_task(template=plain(TEMPLATES[template]))
    row = {"messages": messages, **({"tools": tools} if tools else {})}
    (encoded,) = task.tokenise([{"id": "r", **row}])
    assert encoded.inputs["input_ids"] == list(expected["input_ids"])
    assert supervised_text(task, row) == tagged.decode(kept)


def test_loss_on_the_last_turn_or_on_all_needs_no_place_of_others() -> None:
    row = {"messages": TALKS["thought"]}
    text = "<think>\nreason\n</think>\n\nbecause<|im_end|>\n"
    assert supervised_text(make_task(template=plain(FORGETS), scope="completion"), row) == text
    assert supervised_text(make_task(template=plain(CLOSED), scope="completion"), row) == "because<eos>"
    whole = supervised_text(make_task(template=plain(FORGETS), scope="all"), row)
    assert whole.endswith(text)
    assert "greet" not in whole


ANSWERS: dict[str, list[dict[str, Any]]] = {
    "one answer": [said("because", "reason")],
    "an answer and what followed": [said("because"), user("sure?"), said("yes", "look")],
}


@pytest.mark.parametrize(("template", "answers"), [*product(["forgets", "closed", "always thinks"], ANSWERS.values())])
def test_a_prompt_in_messages_ends_where_the_answers_turn_begins(template: str, answers: list[dict[str, Any]]) -> None:
    messages = [user("hi"), said("hello", "greet"), user("why?"), *answers]
    tagged = make_tokenizer(template=marked(TEMPLATES[template]))
    expected = tagged.apply_chat_template(messages, **HOW)
    # All from the first mark of the answer on: the completion is whatever follows its prompt.
    marks = expected["assistant_masks"]
    runs = [place for place, mark in enumerate(marks) if mark and not marks[place - 1]]
    text = tagged.decode(expected["input_ids"][runs[1] :])
    row = {"messages": messages, "completion_from": 3}
    assert supervised_text(make_task(template=plain(TEMPLATES[template]), scope="completion"), row) == text


def test_an_empty_thought_that_asking_writes_is_no_part_of_the_answer() -> None:
    row = {"messages": TALKS["nothing thought"], "chat_template_kwargs": {"enable_thinking": False}}
    found = supervised_text(make_task(template=plain(FORGETS)), row)
    assert found == "hello<|im_end|>\nbecause<|im_end|>\n"


def test_a_thought_in_spite_of_the_rows_own_word_is_refused() -> None:
    row = {"id": "r", "messages": INLINE, "chat_template_kwargs": {"enable_thinking": False}}
    with pytest.raises(RowsUnfit, match="another way than it asks") as caught:
        make_task(template=plain(FORGETS)).tokenise([row])
    assert "chat_template.jinja" in caught.value.hint


def test_turns_without_loss_are_found_too() -> None:
    talk = [user("hi"), {**said("hello"), "weight": 0}, user("why?"), said("because")]
    for template in (plain(CLOSED), marked(CLOSED)):
        assert supervised_text(make_task(template=template), {"messages": talk}) == "because<eos>"


#: Writes what a tool answered into the turn that called it.
EMBEDS = """{% for m in messages %}{% if m.role == 'assistant' %}<a>{{ m.content }}
{%- if not loop.last and messages[loop.index0 + 1].role == 'tool' %}[{{ messages[loop.index0 + 1].content }}]
{%- endif %}{{ '!' if loop.last else '.' }}{% elif m.role == 'user' %}<u>{{ m.content }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<a>{% endif %}"""
#: Goes through the messages by their number.
COUNTS = EMBEDS.replace("for m in messages %}", "for i in range(messages|length) %}{% set m = messages[i] %}")


@pytest.mark.parametrize(
    ("template", "talk", "reason"),
    [
        (EMBEDS, [user("hi"), said("a"), {"role": "tool", "content": "t"}, said("b")], "words of other messages"),
        (COUNTS, TALKS["nothing thought"], "one after the other"),
    ],
)
def test_turns_that_have_no_place_of_their_own_are_refused(template: str, talk: list[Any], reason: str) -> None:
    with pytest.raises(RowsUnfit, match=reason):
        make_task(template=template).tokenise([{"id": "r", "messages": talk}])


def test_a_template_that_came_with_an_upload_is_read_alike() -> None:
    tokenizer = make_tokenizer(template=plain(ALWAYS_THINKS))
    encoder = TextEncoder(tokenizer, limit=512, on_too_long="fail", templates=TemplateProcess())
    apart = CausalLM(encoder, pad_id=0, stop_ids=[0], scope=None)
    row = {"messages": TALKS["thought"]}
    found = supervised_text(apart, row)
    assert (
        found
        == supervised_text(make_task(tokenizer), row)
        == "hello<|im_end|>\nreason\n</think>\n\nbecause<|im_end|>\n"
    )


def test_an_answer_of_the_model_that_the_template_writes_anew_is_not_scored() -> None:
    task = make_task(template=plain(CLOSED))
    own = Prediction(text="hm</think>yes", probability=0.5)
    with pytest.raises(RowsUnfit, match="did not say"):
        task.with_prediction({"id": "r", "messages": TALKS["nothing thought"]}, own)
    other = task.with_prediction({"messages": TALKS["nothing thought"]}, Prediction(text="yes"))
    assert supervised_text(task, dict(other)) == "hello<eos>yes<eos>"
    own = Prediction(text=INLINE[3]["content"], probability=0.5)
    kept = make_task(template=plain(FORGETS)).with_prediction({"messages": INLINE}, own)
    assert kept["messages"] == [*INLINE[:3], {"role": "assistant", "content": own.text}]


def test_gradients_are_those_of_the_tokens_that_the_author_would_have_marked() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=300, initializer_range=0.5, **sizes)).double().eval()
    task, tagged = make_task(template=plain(FORGETS)), make_tokenizer(template=marked(FORGETS))
    talks = [TALKS["thought"], TALKS["two turns in a row"], INLINE]
    batch = task.collate(task.tokenise([{"id": str(n), "messages": talk} for n, talk in enumerate(talks)]))
    with Float64Throughout():
        found = GradientCollector(model, task.row_losses).collect(batch).blocks
        weights = {name: weight for name, weight in model.named_parameters() if name in found}
        for number, talk in enumerate(talks):
            row = tagged.apply_chat_template(talk, **HOW)
            ids, own = torch.tensor([row["input_ids"]]), torch.tensor(row["assistant_masks"]).bool()[1:]
            predicted = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            loss = -predicted.gather(1, ids[0, 1:, None])[:, 0][own].mean()
            for name, expected in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
                torch.testing.assert_close(found[name][number], expected.flatten(), rtol=1e-9, atol=1e-12)
