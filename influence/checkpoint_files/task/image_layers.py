"""Which layers of classifiers of images take a LoRA where nobody names any, and what their heads are called.

PEFT knows none of models of images. By rows: query and value, as it has them for texts; of convolutions those that look
at one place, for others are in groups, whose factors have another shape.
"""

from dataclasses import dataclass

from influence.errors import UnsupportedModule


@dataclass(frozen=True, slots=True)
class UsualLayers:
    """The last parts of the names of layers that are adapted, and of those that are trained whole: the heads."""

    targets: tuple[str, ...]
    heads: tuple[str, ...] = ("classifier",)


_ATTENDING = UsualLayers(("q_proj", "v_proj"))
_FORMERLY_ATTENDING = UsualLayers(("query", "value"))
#: By model type.
_USUAL: dict[str, UsualLayers] = {
    **dict.fromkeys(
        (
            *("beit", "clip", "deit", "dinov2", "dinov2_with_registers", "ijepa", "metaclip_2", "segformer"),
            *("siglip", "swin", "vit", "vit_msn"),
        ),
        _ATTENDING,
    ),
    **dict.fromkeys(
        ("data2vec-vision", "dinat", "donut-swin", "mobilevit", "pvt", "pvt_v2", "swinv2"), _FORMERLY_ATTENDING
    ),
    **dict.fromkeys(("convnext", "convnextv2"), UsualLayers(("pwconv1", "pwconv2"))),
    "bit": UsualLayers(("conv1", "conv2", "conv3")),
    "cvt": UsualLayers(("projection_query", "projection_value")),
    "efficientnet": UsualLayers(("expand_conv", "project_conv")),
    "focalnet": UsualLayers(("projection_in", "projection_out")),
    "hgnet_v2": UsualLayers(("aggregation.0.convolution", "aggregation.1.convolution"), ("fc",)),
    "hiera": UsualLayers(("qkv",)),
    "mobilevitv2": UsualLayers(("qkv_proj.convolution", "out_proj.convolution")),
    "poolformer": UsualLayers(("conv1", "conv2")),
    "regnet": UsualLayers(("layer.0.convolution", "layer.2.convolution", "layer.3.convolution")),
    "resnet": UsualLayers(("convolution",)),
    "swiftformer": UsualLayers(("to_query", "to_key"), ("head", "dist_head")),
    "textnet": UsualLayers(("main_conv",), ("fc",)),
}


#: Of a type that is not known here.
_USUAL_HEADS = ("classifier",)


def head_layers(model_type: str) -> tuple[str, ...]:
    """What the heads of a type of models are called, which are trained along."""
    return _USUAL[model_type].heads if model_type in _USUAL else _USUAL_HEADS


def require_usual_layers(model_type: str) -> tuple[str, ...]:
    """Layers of a type of models of images that take a LoRA. Raises UnsupportedModule where none are usual: they take
    no factors, or the type is not known here."""
    if model_type not in _USUAL:
        raise lacking_layers(model_type)
    return _USUAL[model_type].targets


def lacking_layers(model_type: str) -> UnsupportedModule:
    """What to raise where nobody named layers, and there are no usual ones."""
    return UnsupportedModule(
        f"There are no usual target modules for models of type {model_type[:60]!r}.",
        hint="Name layers that take a LoRA in 'lora': {\"target_modules\": [...]}; datainf evaluate has "
        "--target-modules. Or train parts of the base model itself: 'trainable', --trainable.",
        extra={"model_type": model_type[:60]},
    )
