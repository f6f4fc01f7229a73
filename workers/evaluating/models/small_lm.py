"""A small causal language model made from the rows themselves, for experiments on text without a base model at hand.

A byte-level BPE tokenizer is trained on the rows' texts, then a tiny Llama on all of their tokens. Everything is
decided by the rows and a seed. It knows nothing but these rows, which is enough to ask how scores behave and too
little to speak for large models.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from influence.contracts.evaluation.experiment import TrainingRecipe
from workers.loading.alone import made_alone
from workers.rows import Row
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.causal_lm import CausalLM
from workers.training.loop import train

PAD, END = "<pad>", "<end>"


@dataclass(frozen=True, slots=True)
class SmallModel:
    """Sizes and first training of the model.

    Two epochs: after six it knows 900 rows by heart, their prompts' gradients are small, and fine-tuning on the same
    rows no longer lowers the loss of others.
    """

    layers: int = 4
    width: int = 256
    heads: int = 4
    feed_forward: int = 512
    vocabulary: int = 1024
    epochs: int = 2
    batch_rows: int = 16
    learning_rate: float = 1e-3

    def recipe(self, seed: int) -> TrainingRecipe:
        """How it is trained before the adapter."""
        return TrainingRecipe(
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            learning_rate=self.learning_rate,
            lora_dropout=0.0,
            seed=seed,
        )


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Byte-level BPE: any text can be written, and a token says which characters it stands for."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, END], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)


def make_small_lm(
    rows: Sequence[Row],
    size: SmallModel,
    *,
    seed: int,
    max_length: int,
    device: torch.device,
    lock: AbstractContextManager[object],
    watch: Callable[[int, int], None],
) -> tuple[LlamaForCausalLM, CausalLM, float]:
    """(model, its task with the loss on completions, last epoch's loss) after training on prompts and completions.

    The lock is held for one step at a time; `watch` hears of steps and may raise.
    """
    tokenizer = train_tokenizer([f"{row['prompt']}{row['completion']}" for row in rows], size.vocabulary)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with made_alone(seed):
        model = LlamaForCausalLM(config).to(device)
    encoder = TextEncoder(tokenizer, limit=max_length, on_too_long="truncate")
    ids = {"pad_id": tokenizer.pad_token_id, "stop_ids": [tokenizer.eos_token_id]}
    reading = CausalLM(encoder, scope="all", **ids)
    loss = train(model, reading, reading.tokenise(rows), size.recipe(seed), device=device, lock=lock, watch=watch)
    return model, CausalLM(encoder, scope="completion", **ids), loss
