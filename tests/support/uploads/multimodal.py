"""Tiny random multimodal models, by the type that their configuration gives them."""

from collections.abc import Callable
from typing import Any

import transformers as tf

from support.tiny import WORDS

TOKENS = len(WORDS) + 5
_TEXT: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "head_dim": 8,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
_TURNED = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}}
_SIGHT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 28,
    "patch_size": 14,
}
_QWEN: dict[str, Any] = {
    "image_token_id": 45,
    "video_token_id": 44,
    "vision_start_token_id": 43,
    "vision_end_token_id": 42,
}
_QWEN_SIGHT: dict[str, Any] = {
    "depth": 1,
    "hidden_size": 16,
    "out_hidden_size": 32,
    "num_heads": 2,
    "intermediate_size": 24,
}


def _gemma3() -> Any:
    text = {**_TEXT, "sliding_window": 16}
    return tf.Gemma3Config(text_config=text, vision_config=_SIGHT, mm_tokens_per_image=4, image_token_index=45)


def _qwen2_vl() -> Any:
    sight = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2}
    return tf.Qwen2VLConfig(text_config={**_TEXT, **_TURNED}, vision_config=sight, **_QWEN)


def _qwen2_5_vl() -> Any:
    sight = {**_QWEN_SIGHT, "fullatt_block_indexes": [0]}
    return tf.Qwen2_5_VLConfig(text_config={**_TEXT, **_TURNED}, vision_config=sight, **_QWEN)


def _qwen3_vl() -> Any:
    sight = {**_QWEN_SIGHT, "deepstack_visual_indexes": [0]}
    return tf.Qwen3VLConfig(text_config={**_TEXT, **_TURNED}, vision_config=sight, **_QWEN)


def _mistral3() -> Any:
    sight = {**_SIGHT, "model_type": "pixtral", "head_dim": 8}
    text = {**_TEXT, "model_type": "mistral"}
    return tf.Mistral3Config(text_config=text, vision_config=sight, image_token_index=45)


def _llama4() -> Any:
    sight = {**_SIGHT, "vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16}
    experts = {"intermediate_size_mlp": 48, "num_local_experts": 2, "interleave_moe_layer_step": 2}
    return tf.Llama4Config(text_config={**_TEXT, **experts}, vision_config=sight, image_token_index=45)


def _llava() -> Any:
    sight = {**_SIGHT, "model_type": "clip_vision_model", "projection_dim": 16}
    return tf.LlavaConfig(text_config={**_TEXT, "model_type": "llama"}, vision_config=sight, image_token_index=45)


def _smolvlm() -> Any:
    text = {**_TEXT, "model_type": "llama"}
    return tf.SmolVLMConfig(text_config=text, vision_config=_SIGHT, image_token_id=45, scale_factor=1)


def _idefics3() -> Any:
    text = {**_TEXT, "model_type": "llama"}
    return tf.Idefics3Config(text_config=text, vision_config=_SIGHT, image_token_id=45, scale_factor=1)


def _paligemma() -> Any:
    sight = {**_SIGHT, "model_type": "siglip_vision_model", "projection_dim": 32}
    text = {**_TEXT, "model_type": "gemma"}
    return tf.PaliGemmaConfig(text_config=text, vision_config=sight, image_token_index=45, projection_dim=32)


#: Configurations by model type.
CONFIGS: dict[str, Callable[[], Any]] = {
    "gemma3": _gemma3,
    "idefics3": _idefics3,
    "llama4": _llama4,
    "llava": _llava,
    "mistral3": _mistral3,
    "paligemma": _paligemma,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_vl": _qwen2_vl,
    "qwen3_vl": _qwen3_vl,
    "smolvlm": _smolvlm,
}
