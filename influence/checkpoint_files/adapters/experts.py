"""Adapters on single experts of a mixture, of models whose experts are one tensor by now."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from influence.errors import AdapterMismatch

#: Types of models whose experts transformers 5 keeps in one tensor, where earlier versions had a layer for each.
JOINED = frozenset(
    {
        "afmoe",
        "axk1",
        "axk2",
        "bailing_hybrid",
        "beam",
        "cohere2_moe",
        "deepseek_ocr2",
        "deepseek_v2",
        "deepseek_v3",
        "deepseek_v32",
        "deepseek_v4",
        "dots1",
        "ernie4_5_moe",
        "exaone_moe",
        "flex_olmo",
        "flint",
        "glm4_moe",
        "glm4_moe_lite",
        "glm4v_moe",
        "glm5_next",
        "glm5_next_text",
        "glm_moe_dsa",
        "hunyuan_v1_moe",
        "hy_v3",
        "jamba",
        "kimi_k25",
        "kimi_linear",
        "kolibri1",
        "laguna",
        "lfm2_moe",
        "longcat_flash",
        "mellum",
        "mimo_v2_flash",
        "minimax",
        "minimax_m2",
        "minimax_m3_vl",
        "mistral_large4_text",
        "mixtral",
        "nemotron_h",
        "olmoe",
        "phimoe",
        "qwen2_moe",
        "qwen3_5_moe_text",
        "qwen3_moe",
        "qwen3_next",
        "qwen3_omni_moe",
        "qwen3_omni_moe_text",
        "qwen3_omni_moe_thinker",
        "qwen4_exp_text",
        "solar_open",
    }
)
_SINGLE = re.compile(r"\.experts\.\d+\.")


def refuse_single_experts(modules: Iterable[str], base_config: Mapping[str, Any]) -> None:
    """Raise AdapterMismatch for factors of one expert each, on a model that has no such layers."""
    if str(base_config.get("model_type")) not in JOINED:
        return
    single = next((name for name in modules if _SINGLE.search(name)), None)
    if single is not None:
        raise AdapterMismatch(
            f"The adapter has factors for each expert ({single[:160]}), and the base model's experts are one tensor: "
            "factors of that are others than those that were trained, and so are their gradients.",
            hint="Convert it with PEFT, PeftModel.from_pretrained(base, adapter).save_pretrained(folder), and send "
            "that folder: gradients are then those of the converted factors. Or train with target_parameters, such as "
            "['mlp.experts.gate_up_proj', 'mlp.experts.down_proj'].",
            extra={"module": single[:200]},
        )
