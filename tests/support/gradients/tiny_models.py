"""Small random models of the kinds that people tune, with rows of unequal length for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import transformers as hf
from torch import Tensor, nn

from workers.batching.collate import collate_rows
from workers.gradients.losses import (
    row_binary_cross_entropy,
    row_cross_entropy,
    row_mean_cross_entropy,
    row_squared_error,
)
from workers.rows import IGNORED, Batch, EncodedRow

VOCABULARY = 48
CLASSES = 3
LENGTHS = (4, 9, 2, 7, 7)

RowLosses = Callable[[nn.Module, Batch], Tensor]

_BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
_LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager"}


#: Fields of a configuration.
Settings = Mapping[str, object]


@dataclass(frozen=True)
class Example:
    """A model in evaluation mode, rows that it takes, and what each row loses."""

    model: nn.Module
    rows: list[EncodedRow]
    row_losses: RowLosses

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=0)


ENCODERS: dict[str, tuple[type, type, Settings]] = {
    "bert": (hf.BertForSequenceClassification, hf.BertConfig, _BERT),
    "roberta": (hf.RobertaForSequenceClassification, hf.RobertaConfig, _BERT),
    "distilbert": (
        hf.DistilBertForSequenceClassification,
        hf.DistilBertConfig,
        {
            "vocab_size": VOCABULARY,
            "dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 24,
            "max_position_embeddings": 32,
        },
    ),
    "deberta_v2": (
        hf.DebertaV2ForSequenceClassification,
        hf.DebertaV2Config,
        {
            **_BERT,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "max_relative_positions": 16,
            "type_vocab_size": 0,
        },
    ),
    "modernbert": (
        hf.ModernBertForSequenceClassification,
        hf.ModernBertConfig,
        {
            **_BERT,
            "num_hidden_layers": 3,
            "local_attention": 4,
            "cls_token_id": 1,
            "sep_token_id": 2,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "qwen2": (hf.Qwen2ForSequenceClassification, hf.Qwen2Config, _LLAMA),
}

DECODERS: dict[str, tuple[type, type, Settings]] = {
    "gpt2": (
        hf.GPT2LMHeadModel,
        hf.GPT2Config,
        {
            "vocab_size": VOCABULARY,
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 32,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "llama": (hf.LlamaForCausalLM, hf.LlamaConfig, _LLAMA),
    "qwen2": (hf.Qwen2ForCausalLM, hf.Qwen2Config, _LLAMA),
    "qwen3": (hf.Qwen3ForCausalLM, hf.Qwen3Config, _LLAMA),
    "mistral": (hf.MistralForCausalLM, hf.MistralConfig, {**_LLAMA, "sliding_window": 4}),
    "gemma2": (
        hf.Gemma2ForCausalLM,
        hf.Gemma2Config,
        {**_LLAMA, "sliding_window": 4, "query_pre_attn_scalar": 8, "attn_implementation": "eager"},
    ),
    "gemma3": (hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, {**_LLAMA, "sliding_window": 4, "query_pre_attn_scalar": 8}),
    "phi3": (hf.Phi3ForCausalLM, hf.Phi3Config, _LLAMA),
    "olmo2": (hf.Olmo2ForCausalLM, hf.Olmo2Config, _LLAMA),
    "mixtral": (hf.MixtralForCausalLM, hf.MixtralConfig, {**_LLAMA, **_EXPERTS}),
    "qwen2_moe": (
        hf.Qwen2MoeForCausalLM,
        hf.Qwen2MoeConfig,
        {**_LLAMA, **_EXPERTS, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 12},
    ),
}


def make_encoder(name: str, *, dtype: torch.dtype = torch.float64) -> Example:
    """A text classifier with one class per row."""
    kind, config, settings = ENCODERS[name]
    model = _build(kind, config, {**settings, "num_labels": CLASSES}, dtype)
    labels = torch.randint(CLASSES, (len(LENGTHS),)).tolist()
    return Example(model, make_rows(labels), classification_losses)


def make_decoder(name: str, *, dtype: torch.dtype = torch.float64) -> Example:
    """A causal language model whose rows carry loss on their last tokens."""
    kind, config, settings = DECODERS[name]
    rows = [
        EncodedRow(row.row_id, row.inputs, _supervise(row.inputs["input_ids"]), row.length)
        for row in make_rows([0] * len(LENGTHS))
    ]
    return Example(_build(kind, config, settings, dtype), rows, causal_losses)


def make_sequence_to_sequence(*, dtype: torch.dtype = torch.float64) -> Example:
    """T5: encoder and decoder inputs of unequal lengths."""
    settings = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    model = _build(hf.T5ForConditionalGeneration, hf.T5Config, {**settings, "decoder_start_token_id": 0}, dtype)
    rows = []
    for row, length in zip(make_rows([0] * len(LENGTHS)), reversed(LENGTHS), strict=True):
        answer = torch.randint(3, VOCABULARY, (length,)).tolist()
        decoder = {"decoder_input_ids": [0, *answer[:-1]], "decoder_attention_mask": [1] * length}
        rows.append(EncodedRow(row.row_id, {**row.inputs, **decoder}, answer, row.length))
    return Example(model, rows, aligned_losses)


def make_image_classifier(*, dtype: torch.dtype = torch.float64) -> Example:
    """ViT on images of 8 x 8."""
    settings = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "image_size": 8,
        "patch_size": 4,
        "num_labels": CLASSES,
    }
    model = _build(hf.ViTForImageClassification, hf.ViTConfig, settings, dtype)
    rows = [
        EncodedRow(str(place), {"pixel_values": torch.randn(3, 8, 8, dtype=dtype)}, place % CLASSES, 4)
        for place in range(len(LENGTHS))
    ]
    return Example(model, rows, classification_losses)


def make_token_classifier(*, dtype: torch.dtype = torch.float64) -> Example:
    """BERT with a label a token, some of them without loss."""
    model = _build(hf.BertForTokenClassification, hf.BertConfig, {**_BERT, "num_labels": CLASSES}, dtype)
    labels = [[IGNORED, *torch.randint(CLASSES, (length - 1,)).tolist()] for length in LENGTHS]
    return Example(model, make_rows(labels), aligned_losses)


def make_regressor(*, dtype: torch.dtype = torch.float64) -> Example:
    """BERT with two real-valued targets."""
    model = _build(hf.BertForSequenceClassification, hf.BertConfig, {**_BERT, "num_labels": 2}, dtype)
    return Example(model, make_rows(torch.randn(len(LENGTHS), 2).tolist()), regression_losses)


def make_multi_label_classifier(*, dtype: torch.dtype = torch.float64) -> Example:
    """BERT with several classes per row."""
    model = _build(hf.BertForSequenceClassification, hf.BertConfig, {**_BERT, "num_labels": CLASSES}, dtype)
    labels = torch.randint(2, (len(LENGTHS), CLASSES)).float().tolist()
    return Example(model, make_rows(labels), multi_label_losses)


def make_rows(labels: Sequence[object], lengths: Sequence[int] = LENGTHS) -> list[EncodedRow]:
    """Random texts that never hold the padding token."""
    rows = []
    for place, (length, label) in enumerate(zip(lengths, labels, strict=True)):
        ids = torch.randint(3, VOCABULARY, (length,)).tolist()
        rows.append(EncodedRow(str(place), {"input_ids": ids, "attention_mask": [1] * length}, label, length))
    return rows


def classification_losses(model: nn.Module, batch: Batch) -> Tensor:
    return row_cross_entropy(model(**batch.inputs).logits, batch.labels)


def regression_losses(model: nn.Module, batch: Batch) -> Tensor:
    return row_squared_error(model(**batch.inputs).logits, batch.labels)


def multi_label_losses(model: nn.Module, batch: Batch) -> Tensor:
    return row_binary_cross_entropy(model(**batch.inputs).logits, batch.labels)


def aligned_losses(model: nn.Module, batch: Batch) -> Tensor:
    return row_mean_cross_entropy(model(**batch.inputs).logits, batch.labels)


def causal_losses(model: nn.Module, batch: Batch) -> Tensor:
    return row_mean_cross_entropy(model(**batch.inputs, use_cache=False).logits[:, :-1], batch.labels[:, 1:])


def _supervise(ids: list[int]) -> list[int]:
    unsupervised = len(ids) // 3
    return [IGNORED] * unsupervised + ids[unsupervised:]


def _build(kind: type, config: type, settings: Settings, dtype: torch.dtype) -> nn.Module:
    model: nn.Module = kind(config(**settings)).to(dtype).eval()
    return model
