"""A causal language model to measure on: a small Llama and its adapter, both trained here on the rows themselves."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.index.gradients import MAX_TOKENS, Work, read_rows, train_model
from workers.rows import Row
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.causal_lm import CausalLM

VOCABULARY = 1000
#: Epochs of the base model, of which the adapter then changes what it learned.
BASE_EPOCHS = 6


def causal_work(folder: Path, *, rows: int, tests: int, epochs: int, rank: int = 8) -> Work:
    """`sentence_transformations`: prompts and completions; the base sees every row's text, the adapter trains on."""
    train, test = (_pairs(read_rows(folder / f"{name}.jsonl")) for name in ("train", "test"))
    train, test = train[:rows], test[:tests]
    tokenizer = _tokenizer(str(row["prompt"]) + str(row["completion"]) for row in train)
    task = CausalLM(
        TextEncoder(tokenizer, limit=MAX_TOKENS, on_too_long="truncate"),
        pad_id=0,
        stop_ids=[1],
        scope="completion",
    )
    torch.manual_seed(0)
    base = _base()
    train_model(base, task, train, BASE_EPOCHS, rate=3e-3)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model: Any = get_peft_model(base, config)
    train_model(model, task, train, epochs, rate=2e-3)
    return Work(f"{folder.name} (causal)", model.eval(), task, train, test)


def _pairs(rows: list[Row]) -> list[Row]:
    return [{name: row[name] for name in ("id", "prompt", "completion")} for row in rows]


def _base() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        )
    )


def _tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["[PAD]", "[END]"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", eos_token="[END]", bos_token="[END]", model_max_length=MAX_TOKENS
    )
