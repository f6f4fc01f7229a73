"""The base model of the sample set: a BERT of two layers that was trained to tell what other generated tickets want.

What is left of it is what a base model is: an encoder without a head.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from cli.samples.tickets import LABEL_NAMES
from demo.sample.rows import write_others
from demo.training import batch_by_length

VOCABULARY, MAX_TOKENS = 800, 128
TEXTS, BATCH_ROWS, LEARNING_RATE = 24_000, 32, 1e-3
_SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
_ROLES = ("pad_token", "cls_token", "sep_token", "unk_token", "mask_token")
_SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}

#: Takes the steps done, all steps and the loss.
Watcher = Callable[[int, int, float], None]


def make_base(folder: Path, seed: int, watch: Watcher) -> None:
    """Train tokenizer and model, and save both; weights in half precision, of which they keep all that matters."""
    torch.manual_seed(seed)
    others = list(write_others(TEXTS, seed + 1))
    texts = [text for text, _ in others]
    tokenizer = make_tokenizer(texts)
    sizes = {**_SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": MAX_TOKENS, "pad_token_id": 0}
    model = BertForSequenceClassification(BertConfig(num_labels=len(LABEL_NAMES), **sizes))
    encoded = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    _train(model, tokenizer, encoded, [LABEL_NAMES.index(label) for _, label in others], seed, watch)
    model.bert.config = BertConfig(**sizes)
    model.bert.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Pieces of words, in lower case."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=_SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    special = dict(zip(_ROLES, _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, **special)


def _train(
    model: Any, tokenizer: Any, encoded: Sequence[Sequence[int]], labels: Sequence[int], seed: int, watch: Watcher
) -> None:
    plan = list(batch_by_length(encoded, BATCH_ROWS, random.Random(seed)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=len(plan))
    for step, rows in enumerate(plan, start=1):
        batch = tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors="pt")
        loss = model(**batch, labels=torch.tensor([labels[row] for row in rows])).loss
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        watch(step, len(plan), loss.item())
