"""Causal language modelling: which tokens carry loss, and how much."""

from typing import Any

import pytest
import torch
from support.uploads.chat_tasks import CHATML, MARKED, REWRITING, TALK, make_task, make_tokenizer, supervised_text
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer, LlamaConfig, LlamaForCausalLM

from influence.errors import RowMasked, RowsRefused, RowsUnfit, RowTooLong
from workers.rows import IGNORED, EncodedRow
from workers.tasks.base import Prediction
from workers.tasks.decoding import MAX_ANSWER_TOKENS
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.causal_lm import CausalLM

SYSTEM_FIRST = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('no system') }}{% endif %}"


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=256,
        eos_token_id=0,
        bos_token_id=0,
        pad_token_id=0,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


def test_loss_falls_on_the_completion_and_its_end() -> None:
    task = make_task()
    assert supervised_text(task, {"prompt": "2+2=", "completion": "4"}) == "4<eos>"
    assert supervised_text(task, {"prompt": "2+2=", "completion": ""}) == "<eos>"
    assert supervised_text(task, {"prompt": "été ", "completion": "naïf"}) == "naïf<eos>"
    assert supervised_text(make_task(scope="all"), {"prompt": "2+2=", "completion": "4"}) == "2+2=4<eos>"


def test_token_across_the_border_belongs_to_the_completion() -> None:
    task = make_task(make_tokenizer(merges=[("x", "y")]))
    (encoded,) = task.tokenise([{"id": "r", "prompt": "ax", "completion": "yb"}])
    assert task.render({"prompt": "ax", "completion": "yb"}).tokens == ("a", "xy", "b", "<eos>")
    assert [label != IGNORED for label in encoded.labels] == [False, True, True, True]


def test_tokenizer_without_offsets_reads_prompt_and_completion_apart() -> None:
    task = make_task(ByT5Tokenizer())
    (encoded,) = task.tokenise([{"id": "r", "prompt": "ab", "completion": "cd"}])
    assert ByT5Tokenizer().decode(encoded.inputs["input_ids"]) == "abcd</s>"
    assert [label != IGNORED for label in encoded.labels] == [False, False, True, True, True]


@pytest.mark.parametrize("row", [{"text": "<bos>ab"}, {"prompt": "<bos>a", "completion": "b"}])
def test_a_text_that_says_its_beginning_itself_is_not_begun_twice(row: dict[str, Any]) -> None:
    tokenizer = make_tokenizer(template="{{ bos_token }}{{ messages[0].content }}")
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    start = [("<bos>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=start)
    task = make_task(tokenizer, scope="all")
    with pytest.raises(RowsUnfit, match="begin with '<bos>'") as caught:
        task.tokenise([{"id": "r", **row}])
    assert "removeprefix('<bos>')" in caught.value.hint
    bare = {name: text.removeprefix("<bos>") for name, text in row.items()}
    talk = {"messages": [{"role": "user", "content": "ab"}]}
    assert task.render(bare).tokens[:2] == task.render(talk).tokens[:2] == ("<bos>", "a")


def test_plain_text_carries_loss_everywhere() -> None:
    task = make_task()
    assert supervised_text(task, {"text": "words"}) == "words<eos>"
    view = task.render({"id": "r", "text": "ab"})
    assert (view.tokens, view.supervised) == (("a", "b", "<eos>"), (False, True, True))


@pytest.mark.parametrize(
    ("template", "scope", "expected"),
    [
        (CHATML, None, "hello<|im_end|>\nbecause<|im_end|>\n"),
        (CHATML, "completion", "because<|im_end|>\n"),
        (MARKED, "assistant", "hello|because|"),
        (MARKED, "completion", "because|"),
        (MARKED, "all", "<user>hi|<assistant>hello|<user>why?|<assistant>because|"),
        (REWRITING, "assistant", "lo|because|"),
        (REWRITING, "all", "<user>hi|<assistant>lo|<user>y?|<assistant>because|"),
    ],
)
def test_loss_of_a_conversation_falls_where_its_scope_says(template: str, scope: Any, expected: str) -> None:
    assert supervised_text(make_task(template=template, scope=scope), {"messages": TALK}) == expected


@pytest.mark.parametrize(
    ("template", "scope", "messages"),
    [
        (SYSTEM_FIRST, None, TALK),
        ("{{ nothing.at.all }}", None, TALK),
        ("{% broken", "all", TALK),
        (None, None, TALK),
        (CHATML, "completion", TALK[:3]),
    ],
)
def test_conversation_whose_mask_cannot_be_known_is_refused(template: Any, scope: Any, messages: Any) -> None:
    with pytest.raises(RowsUnfit) as caught:
        make_task(template=template, scope=scope).tokenise([{"id": "talk", "messages": messages}])
    assert caught.value.extra["row_ids"] == ["talk"]
    assert "loss 'all'" in caught.value.hint


def test_row_without_a_supervised_token_is_refused_by_name() -> None:
    rows = [
        {"id": "good", "messages": TALK},
        {"id": "silent", "messages": TALK[:1]},
    ]
    with pytest.raises(RowMasked) as caught:
        make_task().tokenise(rows)
    assert caught.value.extra["row_ids"] == ["silent"]


def test_row_whose_completion_is_cut_off_is_refused_by_name() -> None:
    with pytest.raises(RowMasked) as caught:
        make_task(limit=8).tokenise([{"id": "cut", "prompt": "a" * 8, "completion": "b"}])
    assert "max_length" in caught.value.hint


def test_long_rows_are_cut_or_refused() -> None:
    row = {"id": "long", "prompt": "aaa", "completion": "b" * 20}
    (encoded,) = make_task(limit=8).tokenise([row])
    assert (encoded.length, encoded.truncated, len(encoded.labels)) == (8, True, 8)
    assert make_task(limit=8).render(row).truncated
    with pytest.raises(RowTooLong):
        make_task(limit=8, on_too_long="fail").tokenise([row])


@pytest.mark.parametrize(
    ("row", "scope"),
    [
        ({"text": "a", "label": 1}, None),
        ({"text": "a", "text_pair": "b"}, None),
        ({"text": "a"}, "assistant"),
        ({"text": "a"}, "completion"),
        ({"prompt": "a", "completion": "b"}, "assistant"),
    ],
)
def test_rows_of_another_kind_or_scope_are_refused(row: dict[str, Any], scope: Any) -> None:
    with pytest.raises(RowsRefused):
        make_task(scope=scope).tokenise([{"id": "r", **row}])


def encode_some(task: CausalLM) -> list[EncodedRow]:
    rows: list[dict[str, Any]] = [
        {"id": "0", "prompt": "the sum is ", "completion": "4"},
        {"id": "1", "prompt": "a", "completion": "long answer to it"},
        {"id": "2", "messages": TALK},
        {"id": "3", "text": "plain"},
    ]
    return task.tokenise(rows)


def test_loss_is_the_models_own_and_independent_of_the_batch(model: LlamaForCausalLM) -> None:
    task = make_task()
    encoded = encode_some(task)
    together = task.row_losses(model, task.collate(encoded))
    for row, found in zip(encoded, together, strict=True):
        alone = task.collate([row])
        expected = model(**alone.inputs, labels=alone.labels).loss
        torch.testing.assert_close(task.row_losses(model, alone)[0], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class Plain(torch.nn.Module):
    """A model that computes all logits, whoever needs them."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, use_cache: bool) -> Any:
        return self.inner(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)


def test_logits_at_chosen_places_give_the_same_loss(model: LlamaForCausalLM) -> None:
    task = make_task()
    batch = task.collate(encode_some(task))
    torch.testing.assert_close(task.row_losses(Plain(model), batch), task.row_losses(model, batch))


def test_answer_is_the_greedy_continuation(model: LlamaForCausalLM) -> None:
    task, tokenizer = make_task(), make_tokenizer()
    rows: list[dict[str, Any]] = [{"prompt": "sum: ", "completion": "?"}, {"messages": TALK}, {"text": "plain"}]
    answered, talked, nothing = task.predict(model, rows)
    assert nothing is None
    questions = ["sum: ", "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in TALK[:3])]
    questions[1] += "<|im_start|>assistant\n"
    for question, found in zip(questions, (answered, talked), strict=True):
        ids = torch.tensor([tokenizer(question)["input_ids"]])
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=MAX_ANSWER_TOKENS
        )
        assert found is not None
        assert found.text == tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        assert 0 <= (found.probability or 0) <= 1


def test_answer_takes_the_completions_or_the_last_turns_place() -> None:
    task, answer = make_task(), Prediction(text="new")
    assert task.with_prediction({"prompt": "a", "completion": "b"}, answer) == {"prompt": "a", "completion": "new"}
    last = {"role": "assistant", "content": "new"}
    assert task.with_prediction({"messages": TALK}, answer) == {"messages": [*TALK[:3], last]}
    assert task.with_prediction({"messages": TALK[:3]}, answer) == {"messages": [*TALK[:3], last]}


def test_rendered_row_shows_text_tokens_and_where_loss_falls() -> None:
    view = make_task().render({"id": "r", "prompt": "ab", "completion": "c"})
    assert (view.text, view.tokens, view.supervised) == ("abc", ("a", "b", "c", "<eos>"), (False, False, True, True))


def test_a_tokenizer_serves_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer(template=MARKED)
    encoder = TextEncoder(tokenizer, limit=512, on_too_long="truncate")
    calls: dict[str, bool] = {}

    def watch(name: str) -> None:
        plain = getattr(tokenizer, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            calls[name] = encoder._lock.locked()
            return plain(*args, **kwargs)

        monkeypatch.setattr(tokenizer, name, watched)

    for name in ("apply_chat_template", "convert_ids_to_tokens", "decode"):
        watch(name)
    task = CausalLM(encoder, pad_id=0, stop_ids=[0], scope="assistant")
    task.render({"id": "r", "messages": TALK})
    encoder.decode([1, 2])
    assert calls == {"apply_chat_template": True, "convert_ids_to_tokens": True, "decode": True}
