"""More kinds of image classifiers: as small as they can be made, with layers that take LoRA."""

from typing import Any

import transformers as hf

_VIT: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_SWIN: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
#: Two stages that halve the image.
_STAGES: dict[str, Any] = {"depths": [1, 1], "hidden_sizes": [8, 16]}
_PYRAMID: dict[str, Any] = {
    **_STAGES,
    "num_encoder_blocks": 2,
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
}
#: What stands above the encoder, where it is not called `classifier`.
OTHER_HEADS = {"hgnet_v2": ["fc"], "textnet": ["fc"], "swiftformer": ["head", "dist_head"]}
#: Pixels a side, where 16 are too few.
SIDES = {
    **dict.fromkeys(("bit", "cvt", "efficientnet", "hgnet_v2", "hiera", "poolformer", "pvt", "pvt_v2", "textnet"), 32),
    **dict.fromkeys(("mobilevit", "mobilevitv2", "swiftformer"), 64),
}


def _named(name: str, settings: dict[str, Any], layers: list[str]) -> tuple[Any, ...]:
    made = (getattr(hf, f"{name}{ending}") for ending in ("Config", "ForImageClassification"))
    return (*made, hf.ViTImageProcessorPil, settings, layers)


#: Configuration, model, processor, what it is set to beside the size, and layers that take LoRA.
MORE_ARCHITECTURES: dict[str, tuple[Any, ...]] = {
    "bit": _named(
        "Bit",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "num_groups": 4},
        ["conv1", "conv2", "conv3"],
    ),
    "convnextv2": _named(
        "ConvNextV2", {**_STAGES, "image_size": 16, "patch_size": 2, "num_stages": 2}, ["pwconv1", "pwconv2"]
    ),
    "cvt": _named(
        "Cvt",
        {"embed_dim": [8, 16, 16], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
        ["projection_query", "projection_value"],
    ),
    "data2vec-vision": _named("Data2VecVision", _VIT, ["query", "value"]),
    "donut-swin": _named("DonutSwin", _SWIN, ["query", "value", "reduction"]),
    "efficientnet": _named(
        "EfficientNet",
        {
            "image_size": 32,
            "width_coefficient": 1.0,
            "depth_coefficient": 1.0,
            "kernel_sizes": [3, 3],
            "in_channels": [32, 16],
            "out_channels": [16, 24],
            "strides": [1, 2],
            "num_block_repeats": [1, 1],
            "expand_ratios": [1, 2],
            "hidden_dim": 1280,
        },
        ["expand_conv", "project_conv"],
    ),
    "focalnet": _named(
        "FocalNet",
        {
            **_STAGES,
            "image_size": 16,
            "patch_size": 2,
            "embed_dim": 8,
            "hidden_sizes": [16, 16],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
        ["projection_in", "projection_out", "projection_context"],
    ),
    "hgnet_v2": _named(
        "HGNetV2",
        {
            "embedding_size": 16,
            "depths": [1, 1],
            "hidden_sizes": [16, 16],
            "stem_channels": [3, 8, 8],
            "stage_in_channels": [8, 16],
            "stage_mid_channels": [8, 8],
            "stage_out_channels": [16, 16],
            "stage_num_blocks": [1, 1],
            "stage_downsample": [False, True],
            "stage_downsample_strides": [2, 2],
            "stage_light_block": [False, True],
            "stage_kernel_size": [3, 3],
            "stage_numb_of_layers": [2, 2],
        },
        ["aggregation.0.convolution", "aggregation.1.convolution"],
    ),
    "hiera": _named(
        "Hiera",
        {
            "embed_dim": 8,
            "image_size": [32, 32],
            "patch_size": [3, 3],
            "patch_stride": [2, 2],
            "patch_padding": [1, 1],
            "depths": [1, 1],
            "num_heads": [1, 2],
            "num_query_pool": 1,
            "masked_unit_size": [2, 2],
            "masked_unit_attention": [True, False],
        },
        ["qkv", "fc1"],
    ),
    "metaclip_2": _named("MetaClip2", {"vision_config": _VIT}, ["q_proj", "v_proj"]),
    "mobilevit": _named(
        "MobileViT",
        {
            "image_size": 64,
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32],
            "num_attention_heads": 2,
        },
        ["value", "intermediate.dense"],
    ),
    "mobilevitv2": _named(
        "MobileViTV2",
        {
            "image_size": 64,
            "width_multiplier": 0.25,
            "n_attn_blocks": [1, 1, 1],
            "base_attn_unit_dims": [32, 32, 32],
        },
        ["qkv_proj.convolution", "out_proj.convolution"],
    ),
    "poolformer": _named(
        "PoolFormer",
        {**_STAGES, "patch_sizes": [7, 3], "strides": [4, 2], "padding": [2, 1], "num_encoder_blocks": 2},
        ["conv1", "conv2"],
    ),
    # Left out, the number of classes is 1000, whatever names there are.
    "pvt": _named(
        "Pvt",
        {**_PYRAMID, "image_size": 32, "patch_sizes": [4, 2], "sequence_reduction_ratios": [2, 1], "num_labels": 3},
        ["query", "value", "sequence_reduction"],
    ),
    "pvt_v2": _named("PvtV2", {**_PYRAMID, "image_size": 32, "sr_ratios": [2, 1]}, ["query", "value"]),
    "swiftformer": _named(
        "SwiftFormer",
        {"image_size": 64, "depths": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16]},
        ["to_query", "to_key", "point_wise_conv1"],
    ),
    # The layer before an activation that works in place is adapted, too.
    "swinv2": _named("Swinv2", _SWIN, ["query", "value", "continuous_position_bias_mlp.0"]),
    "textnet": _named(
        "TextNet",
        {
            "image_size": [32, 32],
            "stem_out_channels": 8,
            "hidden_sizes": [8, 8, 8, 8, 8],
            "conv_layer_kernel_sizes": [[[3, 3]], [[3, 3]], [[3, 1]], [[1, 3]]],
            "conv_layer_strides": [[2], [2], [1], [1]],
        },
        ["main_conv"],
    ),
    "vit_msn": _named("ViTMSN", _VIT, ["q_proj", "v_proj"]),
}
