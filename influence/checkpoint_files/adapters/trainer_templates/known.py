"""The templates that are known, by trainer and name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from influence.checkpoint_files.adapters.trainer_templates.template import TrainerTemplate
from influence.checkpoint_files.adapters.trainer_templates.thoughts import NO_THOUGHT, OF_FACTORY, of_swift
from influence.contracts.checkpoint import ThoughtRule


class Trained(Protocol):
    """What files say of how training wrote conversations."""

    @property
    def trainer(self) -> str | None: ...

    @property
    def template(self) -> str | None: ...

    @property
    def system(self) -> str | None: ...

    @property
    def enable_thinking(self) -> bool | None: ...

    @property
    def thoughts(self) -> tuple[ThoughtRule, ...] | None: ...


def find_template(trained: Trained) -> TrainerTemplate | None:
    """The template that training wrote by, with the system prompt that it set; None for one that is not known.

    One of thoughts is known where it is known, too, what training made of them.
    """
    name = trained.template or ""
    found = _KNOWN.get(trained.trainer or "", {}).get(name)
    if has_thoughts(trained.trainer, name):
        found = _with_thoughts(trained, name)
    elif found is not None and trained.trainer == "ms-swift" and trained.thoughts:
        found = replace(found, thoughts=of_swift(trained.thoughts, empty=""))
    if found is None:
        return None
    system = found.default_system if trained.system is None else trained.system
    return replace(found, default_system=system, by_loss=trained.trainer == "ms-swift")


def has_thoughts(trainer: str | None, name: str | None) -> bool:
    """Whether a trainer's template is one of those with thoughts."""
    return name in _THINKING.get(trainer or "", {})


def is_plain(trainer: str | None, name: str | None) -> bool:
    """Whether a trainer's template is one of those that are known and have no thoughts."""
    return name in _KNOWN.get(trainer or "", {})


def _with_thoughts(trained: Trained, name: str) -> TrainerTemplate | None:
    found, empty = _THINKING[trained.trainer or ""][name]
    if trained.trainer == "LLaMA-Factory":
        thinks = trained.enable_thinking
        return None if thinks is None else replace(found, thoughts=OF_FACTORY[thinks])
    return None if trained.thoughts is None else replace(found, thoughts=of_swift(trained.thoughts, empty=empty))


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
    # Its `efficient_eos` makes the end the label of each next turn's first token.
    "gemma2": replace(_GEMMA, said_last="{}<end_of_turn>\n{eos}", is_single=True),
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
_OF_SWIFT: Mapping[str, TrainerTemplate] = {
    "gemma": replace(
        _GEMMA,
        system="<start_of_turn>system\n{}<end_of_turn>\n",
        in_user=False,
        said_last="{}<end_of_turn>",
    ),
    "gemma3_text": replace(_GEMMA, said_last="{}<end_of_turn>"),
    "llama3": _LLAMA3,
    "qwen": replace(_CHATML, default_system=_HELPFUL),
    "qwen2_5": replace(_CHATML, default_system=_QWEN),
    "qwen3_nothinking": _CHATML,
}
_KNOWN = {"LLaMA-Factory": _OF_FACTORY, "ms-swift": _OF_SWIFT}
#: Those with thoughts, each with what stands for none in an answer without.
_THINKING: Mapping[str, Mapping[str, tuple[TrainerTemplate, str]]] = {
    "LLaMA-Factory": {
        "deepseekr1": (_OF_FACTORY["deepseek3"], NO_THOUGHT),
        "mimo": (replace(_CHATML, default_system=_HELPFUL), NO_THOUGHT),
        "qwen3": (_CHATML, NO_THOUGHT),
    },
    "ms-swift": {
        "deepseek_r1": (_OF_FACTORY["deepseek3"], ""),
        "qwen3": (_CHATML, NO_THOUGHT),
        "qwen3_thinking": (_CHATML, ""),
        "qwq": (_CHATML, ""),
    },
}
