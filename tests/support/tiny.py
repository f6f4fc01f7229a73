"""Tiny real checkpoints: a base model folder and a PEFT adapter folder, made from a configuration and a seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

#: The whole vocabulary.
TEXT = """refund invoice charge card login password reset crash error slow app update parcel late lost address where
when my the is a not i it was twice again please help thanks ship order cancel plan upgrade bill wrong good bad
answer"""
WORDS = TEXT.split()
LABELS = ("billing", "access", "delivery")


@dataclass(frozen=True)
class TinyCheckpoint:
    """Folders of a base model and of an adapter that was trained on it."""

    base: Path
    adapter: Path


def make_classifier(folder: Path, *, seed: int = 0, labels: int = len(LABELS), **fields: Any) -> TinyCheckpoint:
    """A two-layer BERT with a LoRA adapter on query and value and a saved classifier; `fields` of its configuration."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        num_labels=labels,
        pad_token_id=0,
        **fields,
    )
    base = BertForSequenceClassification(config)
    adapted = get_peft_model(
        base, LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["query", "value"])
    )
    return _save(folder, config, adapted)


TAGS = ("O", "B-PLACE", "I-PLACE", "B-THING")


def make_tagger(folder: Path, *, kind: str = "bert") -> TinyCheckpoint:
    """A two-layer BERT, or a Llama, with a head that gives a tag for each token; its configuration names the tags."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    known: Any = {"vocab_size": len(WORDS) + 5, "pad_token_id": 0, "id2label": dict(enumerate(TAGS)), **sizes}
    if kind == "bert":
        config: Any = BertConfig(max_position_embeddings=64, **known)
        base: Any = BertForTokenClassification(config)
    else:
        config = LlamaConfig(**known)
        base = LlamaForTokenClassification(config)
    targets = ["query", "value"] if kind == "bert" else ["q_proj", "v_proj"]
    tiny = _save(folder, config, get_peft_model(base, LoraConfig(task_type="TOKEN_CLS", r=2, target_modules=targets)))
    config.save_pretrained(tiny.adapter)
    return tiny


def make_plain(folder: Path) -> Path:
    """A two-layer BERT that was trained itself, head included: no adapter. Its configuration names the classes."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=0,
        id2label=dict(enumerate(LABELS)),
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.add_(torch.randn_like(model.classifier.weight) * 0.5)
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def make_deberta(folder: Path) -> TinyCheckpoint:
    """A two-layer DeBERTa-v2, which has no fused attention."""
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(WORDS) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        num_labels=len(LABELS),
        pad_token_id=0,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
    )
    lora = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["value_proj"], modules_to_save=["pooler"])
    return _save(folder, config, get_peft_model(DebertaV2ForSequenceClassification(config), lora))


def make_decoder_classifier(folder: Path, **fields: Any) -> TinyCheckpoint:
    """A two-layer Llama with a head, which reads its answer at a row's last token; `fields` of its configuration."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = LlamaConfig(vocab_size=len(WORDS) + 5, **{"num_labels": len(LABELS), **sizes, **fields})
    lora = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])
    return _save(folder, config, get_peft_model(LlamaForSequenceClassification(config), lora))


def make_causal(folder: Path, *, seed: int = 0) -> TinyCheckpoint:
    """A two-layer Llama with a LoRA adapter on the attention's query and value."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=1,
    )
    base = LlamaForCausalLM(config)
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])
    return _save(folder, config, get_peft_model(base, lora))


def make_seq2seq(folder: Path, *, kind: str = "t5") -> TinyCheckpoint:
    """A two-layer T5 or BART with a LoRA adapter on the queries and values of encoder, decoder and what joins them."""
    torch.manual_seed(0)
    size = {"vocab_size": len(WORDS) + 5, "d_model": 32, "pad_token_id": 0, "eos_token_id": 2}
    if kind == "t5":
        sizes = {"d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
        config: Any = T5Config(**size, **sizes)
        base: Any = T5ForConditionalGeneration(config)
    else:
        layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in _BART.items()}
        config = BartConfig(**size, **layers, bos_token_id=1, max_position_embeddings=64, forced_bos_token_id=1)
        base = BartForConditionalGeneration(config)
    targets = ["q", "v"] if kind == "t5" else ["q_proj", "v_proj"]
    lora = LoraConfig(task_type="SEQ_2_SEQ_LM", r=2, target_modules=targets)
    return _save(folder, config, get_peft_model(base, lora))


_BART = {"layers": 2, "attention_heads": 4, "ffn_dim": 48}


def poison_word(tiny: TinyCheckpoint, word: str) -> None:
    """Let rows that hold a word have gradients that are not finite: its embedding overflows."""
    weights = load_file(tiny.base / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][5 + WORDS.index(word)] = 3e38
    save_file(weights, tiny.base / "model.safetensors", metadata={"format": "pt"})


def _save(folder: Path, config: object, adapted: Any) -> TinyCheckpoint:
    """Shake the adapter (an untrained one has B = 0), save it, and save the base without it."""
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.5))
    adapted.save_pretrained(folder / "adapter")
    base = adapted.unload()
    base.save_pretrained(folder / "base")
    _tokenizer().save_pretrained(folder / "base")
    return TinyCheckpoint(folder / "base", folder / "adapter")


def _tokenizer() -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        model_max_length=64,
    )
