"""A language model's task over a tokenizer of bytes, and chat templates for it."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workers.rows import IGNORED
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.causal_lm import CausalLM

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED = (
    "{% for message in messages %}<{{ message['role'] }}>{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}|{% endgeneration %}"
    "{% else %}{{ message['content'] }}|{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: Forgets what the assistant thought in earlier turns.
REWRITING = (
    "{% for message in messages %}<{{ message['role'] }}>"
    "{{ message['content'] if loop.last else message['content'][-2:] }}|{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TALK = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"role": "user", "content": "why?"},
    {"role": "assistant", "content": "because"},
]


def make_tokenizer(merges: Sequence[tuple[str, str]] = (), template: str | None = None) -> PreTrainedTokenizerFast:
    """Bytes and the given merges; no token is added on its own."""
    pieces = ["<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", model_max_length=1 << 30)
    wrapped.chat_template = template
    return wrapped


def make_task(
    tokenizer: Any = None, *, template: str | None = CHATML, scope: Any = None, limit: int = 512, **options: Any
) -> CausalLM:
    tokenizer = tokenizer or make_tokenizer(template=template)
    encoder = TextEncoder(tokenizer, limit=limit, on_too_long=options.get("on_too_long", "truncate"))
    return CausalLM(encoder, pad_id=0, stop_ids=[0], scope=scope)


def supervised_text(task: CausalLM, row: dict[str, Any]) -> str:
    (encoded,) = task.tokenise([{"id": "r", **row}])
    kept = [token for token in encoded.labels if token != IGNORED]
    assert all(
        label in (IGNORED, token) for token, label in zip(encoded.inputs["input_ids"], encoded.labels, strict=True)
    )
    text: str = make_tokenizer().decode(kept)
    return text
