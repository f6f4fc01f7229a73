"""Kinds of models that are refused because a row depends on those beside it: it does, and those like them do not."""

from typing import Any

import pytest
import torch
import transformers as hf
from support.gradients.tiny_models import VOCABULARY

from influence.checkpoint_files.multimodal import refuse_inexact
from influence.errors import TaskMismatch

BERT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
SPARSE = {**BERT, "block_size": 4, "num_random_blocks": 1}
CASES: list[tuple[str, Any, int, int]] = [
    ("bert", hf.BertConfig(**BERT), 9, 23),
    ("squeezebert", hf.SqueezeBertConfig(**BERT, embedding_size=32), 9, 23),
    ("longformer", hf.LongformerConfig(**{**BERT, "attention_window": [8, 8]}), 9, 23),
    ("big_bird full", hf.BigBirdConfig(**{**SPARSE, "attention_type": "original_full"}), 100, 160),
    ("big_bird", hf.BigBirdConfig(**SPARSE), 100, 160),
    ("convbert", hf.ConvBertConfig(**BERT), 9, 23),
    ("mobilebert", hf.MobileBertConfig(**BERT), 9, 23),
    ("nystromformer", hf.NystromformerConfig(**BERT), 9, 23),
    ("fnet", hf.FNetConfig(**BERT), 9, 23),
    ("yoso", hf.YosoConfig(**BERT), 9, 23),
    ("funnel", hf.FunnelConfig(vocab_size=VOCABULARY, d_model=32, n_head=4, d_head=8, d_inner=48), 9, 23),
]


@pytest.mark.parametrize(("config", "short", "long"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_kind_is_refused_where_a_row_depends_on_those_beside_it(config: Any, short: int, long: int) -> None:
    torch.manual_seed(0)
    model = hf.AutoModelForSequenceClassification.from_config(config).eval()
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.15)
    row, other = torch.randint(3, VOCABULARY, (short,)), torch.randint(3, VOCABULARY, (long,))
    ids = torch.stack([torch.nn.functional.pad(row, (0, long - short)), other])
    mask = torch.ones_like(ids)
    mask[0, short:] = 0
    with torch.no_grad():
        alone = model(input_ids=row[None], attention_mask=torch.ones(1, short, dtype=torch.long)).logits[0]
        beside = model(input_ids=ids, attention_mask=mask).logits[0]
    depends = bool((alone - beside).norm() > 1e-4 * alone.norm())
    try:
        refuse_inexact(config.to_dict(), "sequence_classification")
        is_refused = False
    except TaskMismatch:
        is_refused = True
    assert is_refused == depends
