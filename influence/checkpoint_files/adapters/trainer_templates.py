"""Templates by which LLaMA-Factory and ms-swift write conversations: their own, not the tokenizer's.

Both take a template by its name and write each turn by it, whatever chat template lies beside the tokenizer. Those told
here say what stands around each turn, as the trainers' sources have it (`data/template.py` of LLaMA-Factory,
`swift/llm/template` of ms-swift); of others only the name is known.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

_PIECES = re.compile(r"\{(|bos|eos)\}")
_NAMES = {"{}": "content", "{bos}": '(bos_token or "")', "{eos}": '(eos_token or "")'}
_NOT_PLAIN = "message['tool_calls'] or message['reasoning_content'] or message['content'] is not string"


@dataclass(frozen=True, slots=True)
class TrainerTemplate:
    """What a trainer writes around each turn; `{}` stands for its words, `{bos}` and `{eos}` for tokens by these names.

    `answer` is the header of the assistant's turn, `said` the turn itself. `default_system` is written where a row has
    no system prompt. With `in_user` the system prompt stands before the words of the first turn, not in one of its own.
    `thinks` is LLaMA-Factory's `enable_thinking` for a template of thoughts: with it answers without a thought get an
    empty one, which carries loss; without, thoughts are taken out and the empty one belongs to the header.
    """

    user: str
    answer: str
    said: str
    system: str = "{}"
    default_system: str = ""
    start: str = ""
    in_user: bool = False
    thinks: bool | None = None

    def as_jinja(self) -> str:
        """The same as a chat template, for conversations of plain texts between a user and the assistant."""
        system = _expression(self.system, "system")
        alone = "" if self.in_user else f"{{% if system %}}{{{{ {system} }}}}{{% endif %}}"
        answer = self.answer + (_NO_THOUGHT if self.thinks is False else "")
        first = f"({system} if loop.first and system else '') + " if self.in_user else ""
        return (
            f"{{{{ {_expression(self.start)} }}}}"
            f"{{% set system = {_quoted(self.default_system)} %}}{{% set turns = messages %}}"
            "{% if messages and messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}"
            "{% set system = messages[0]['content'] or system %}{% endif %}"
            f"{alone}{{% for message in turns %}}"
            f"{{% if {_NOT_PLAIN} %}}{_refusal('it is not known how training wrote more than texts')}{{% endif %}}"
            f"{{% set content = {first}message['content'] %}}"
            f"{{% if message['role'] == 'user' %}}{{{{ {_expression(self.user)} }}}}"
            f"{{% elif message['role'] == 'assistant' %}}{_THOUGHTS.get(self.thinks, '')}"
            f"{{{{ {_expression(answer + self.said)} }}}}"
            f"{{% else %}}{_refusal('it is not known how training wrote this role')}{{% endif %}}"
            f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ {_expression(answer)} }}}}{{% endif %}}"
        )


def find_template(
    trainer: str | None, name: str | None, system: str | None = None, *, thinks: bool | None = None
) -> TrainerTemplate | None:
    """A trainer's template by name, with the system prompt that training set for it; None for one that is not known.

    One of thoughts is known where it is known, too, whether training was to think (`thinks`).
    """
    found = _KNOWN.get(trainer or "", {}).get(name or "")
    if trainer == "LLaMA-Factory" and thinks is not None and (thoughtful := _OF_THOUGHTS.get(name or "")):
        found = replace(thoughtful, thinks=thinks)
    return found if found is None or system is None else replace(found, default_system=system)


def with_system_prompt(template: str, system: str) -> str:
    """A chat template that begins conversations without a system prompt with this one."""
    return (
        "{% if messages and messages[0]['role'] != 'system' %}"
        f"{{% set messages = [{{'role': 'system', 'content': {_quoted(system)}}}] + messages %}}{{% endif %}}{template}"
    )


def _expression(text: str, words: str = "content") -> str:
    """Text with its placeholders as an expression of Jinja."""
    names: Mapping[str, str] = {**_NAMES, "{}": words}
    parts: list[str] = []
    place = 0
    for found in _PIECES.finditer(text):
        parts += [_quoted(text[place : found.start()]), names[found[0]]]
        place = found.end()
    return " + ".join(part for part in (*parts, _quoted(text[place:])) if part != '""') or '""'


def _refusal(reason: str) -> str:
    return f"{{{{ raise_exception({_quoted(reason)}) }}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


#: What LLaMA-Factory writes where an answer has no thought, and what it does to the words of an answer before.
_NO_THOUGHT = "<think>\n\n</think>\n\n"
_ONE_THOUGHT = (
    "content.count('<think>\n') == 1 and content.count('\n</think>\n\n') == 1 and content.count('<think>') == 1 "
    "and content.count('</think>') == 1"
)
_THOUGHTS: Mapping[bool | None, str] = {
    True: "{% if '<think>' not in content and '</think>' not in content %}"
    f"{{% set content = {_quoted(_NO_THOUGHT)} + content %}}{{% endif %}}",
    False: "{% if '<think>' in content or '</think>' in content %}"
    f"{{% if not ({_ONE_THOUGHT}) %}}{_refusal('it is not known how training took this thought out')}{{% endif %}}"
    "{% set content = content.split('<think>\n')[0] + content.split('\n</think>\n\n')[1] %}{% endif %}"
    "{% set content = content.lstrip('\n') %}",
}
_CHATML = TrainerTemplate(
    user="<|im_start|>user\n{}<|im_end|>\n",
    answer="<|im_start|>assistant\n",
    said="{}<|im_end|>\n",
    system="<|im_start|>system\n{}<|im_end|>\n",
)
_LLAMA3 = TrainerTemplate(
    user="<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
    answer="<|start_header_id|>assistant<|end_header_id|>\n\n",
    said="{}<|eot_id|>",
    system="<|start_header_id|>system<|end_header_id|>\n\n{}<|eot_id|>",
    start="{bos}",
)
_GEMMA = TrainerTemplate(
    user="<start_of_turn>user\n{}<end_of_turn>\n",
    answer="<start_of_turn>model\n",
    said="{}<end_of_turn>\n",
    system="{}\n\n",
    start="{bos}",
    in_user=True,
)
_HELPFUL = "You are a helpful assistant."
_QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
_OF_FACTORY: Mapping[str, TrainerTemplate] = {
    "alpaca": TrainerTemplate(
        user="### Instruction:\n{}\n\n",
        answer="### Response:\n",
        said="{}{eos}\n\n",
        default_system="Below is an instruction that describes a task. Write a response that appropriately completes "
        "the request.\n\n",
    ),
    "chatml": _CHATML,
    "deepseek3": TrainerTemplate(user="<｜User｜>{}", answer="<｜Assistant｜>", said="{}{eos}", start="{bos}"),
    "default": TrainerTemplate(
        user="Human: {}{eos}\n", answer="Assistant:", said="{}{eos}\n", system="System: {}{eos}\n"
    ),
    "gemma": _GEMMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA,
    "llama2": TrainerTemplate(
        user="{bos}[INST] {} [/INST]",
        answer="",
        said="{}{eos}",
        system="<<SYS>>\n{}\n<</SYS>>\n\n",
        in_user=True,
    ),
    "llama3": _LLAMA3,
    "mistral": TrainerTemplate(
        user="[INST] {}[/INST]", answer="", said=" {}{eos}", system="{}\n\n", start="{bos}", in_user=True
    ),
    "phi": TrainerTemplate(
        user="<|user|>\n{}<|end|>\n",
        answer="<|assistant|>\n",
        said="{}<|end|>\n",
        system="<|system|>\n{}<|end|>\n",
    ),
    "phi4": TrainerTemplate(
        user="<|im_start|>user<|im_sep|>{}<|im_end|>",
        answer="<|im_start|>assistant<|im_sep|>",
        said="{}<|im_end|>",
        system="<|im_start|>system<|im_sep|>{}<|im_end|>",
    ),
    "qwen": replace(_CHATML, default_system=_QWEN),
    "qwen2_vl": replace(_CHATML, default_system=_HELPFUL),
    "qwen3_nothink": _CHATML,
    "smollm": _CHATML,
    "smollm2": replace(_CHATML, default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face."),
    "vicuna": TrainerTemplate(
        user="USER: {} ",
        answer="ASSISTANT:",
        said="{}{eos}",
        default_system="A chat between a curious user and an artificial intelligence assistant. The assistant gives "
        "helpful, detailed, and polite answers to the user's questions.",
    ),
    "yi": _CHATML,
    "zephyr": TrainerTemplate(
        user="<|user|>\n{}{eos}",
        answer="<|assistant|>\n",
        said="{}{eos}",
        system="<|system|>\n{}{eos}",
        default_system="You are Zephyr, a helpful assistant.",
    ),
}
_OF_THOUGHTS: Mapping[str, TrainerTemplate] = {
    "deepseekr1": _OF_FACTORY["deepseek3"],
    "mimo": replace(_CHATML, default_system=_HELPFUL),
    "qwen3": _CHATML,
}
_OF_SWIFT: Mapping[str, TrainerTemplate] = {
    "llama3": _LLAMA3,
    "qwen": replace(_CHATML, default_system=_HELPFUL),
    "qwen2_5": replace(_CHATML, default_system=_QWEN),
    "qwen3_nothinking": _CHATML,
}
_KNOWN = {"LLaMA-Factory": _OF_FACTORY, "ms-swift": _OF_SWIFT}
