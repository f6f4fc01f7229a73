"""Decoders that classify: in a batch the answer is read where the model reads it of a row alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import WORDS, make_causal
from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification, LlamaConfig
from transformers import LlamaForSequenceClassification as LlamaClassifier

from workers.batching.padding import configured_padding
from workers.gradients.collector import GradientCollector
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.sequence_classification import SequenceClassification

#: Of different lengths; every text ends with [SEP], id 2, as the tokenizer closes it.
ROWS = [
    {"id": "0", "text": "refund my card please", "label": 0},
    {"id": "1", "text": "app", "label": 1},
    {"id": "2", "text": "slow app again", "label": 2},
]
ENTRIES = len(WORDS) + 5


def make_model(kind: str, pad: int | None) -> Any:
    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(
            vocab_size=ENTRIES, n_embd=16, n_layer=1, n_head=2, n_positions=64, num_labels=3, pad_token_id=pad
        )
        return GPT2ForSequenceClassification(config).eval()
    config = LlamaConfig(
        vocab_size=ENTRIES,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        num_labels=3,
        pad_token_id=pad,
    )
    return LlamaClassifier(config).eval()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder: Path = make_causal(tmp_path_factory.mktemp("made")).base
    return TextEncoder(AutoTokenizer.from_pretrained(folder), limit=64, on_too_long="fail")


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("pad", [0, 2, None, 7])
def test_batch_reads_what_a_row_alone_reads(kind: str, pad: int | None, encoder: TextEncoder) -> None:
    """0 is the tokenizer's padding, 2 ends every row, 7 is a word of the first row."""
    model = make_model(kind, pad)
    task = SequenceClassification(encoder, pad_id=configured_padding(model.config, ENTRIES), num_labels=3)
    encoded = task.tokenise(ROWS)
    alone = torch.cat([model(input_ids=torch.tensor([row.inputs["input_ids"]])).logits for row in encoded])
    together = task.logits(model, task.collate(encoded))
    torch.testing.assert_close(together, alone)
    assert model.config.pad_token_id == pad


@pytest.mark.parametrize("pad", [2, None])
def test_gradients_are_those_of_rows_alone(pad: int | None, encoder: TextEncoder) -> None:
    model = make_model("llama", pad)
    model.requires_grad_(False)
    model.score.requires_grad_(True)
    model.model.layers[0].self_attn.q_proj.requires_grad_(True)
    task = SequenceClassification(encoder, pad_id=configured_padding(model.config, ENTRIES), num_labels=3)
    encoded = task.tokenise(ROWS)
    found = GradientCollector(model, task.row_losses).collect(task.collate(encoded))
    for place, row in enumerate(encoded):
        logits = model(input_ids=torch.tensor([row.inputs["input_ids"]])).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([row.labels]))
        expected = torch.autograd.grad(loss, [model.model.layers[0].self_attn.q_proj.weight, model.score.weight])
        for block, gradient in zip(found.blocks.values(), expected, strict=True):
            torch.testing.assert_close(block[place], gradient.flatten(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("pad", "found"), [(0, 0), (None, None), (-1, None), (ENTRIES, None)])
def test_padding_id_without_an_embedding_is_none(pad: int | None, found: int | None) -> None:
    config = LlamaConfig(vocab_size=ENTRIES, pad_token_id=pad)
    assert configured_padding(config, ENTRIES) == found
