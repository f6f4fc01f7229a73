"""Modules of a UNet as the first code of Stable Diffusion calls them, as kohya's files of SDXL do.

There blocks are counted through: `down_blocks.1.attentions.0` is `input_blocks.4.1` where each block has two layers.
"""

import re
from collections.abc import Collection

_PLAIN = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
#: Parts of a block that adds to what it reads.
_OF_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(\..+)?")


def former_names(modules: Collection[str]) -> dict[str, str]:
    """Former name of each module that has one. A UNet has as many layers in every block, and one more going up."""
    found = [match for module in modules if (match := _BLOCK.fullmatch(module))]
    layers = max((int(match[4]) + 1 for match in found if match[1] == "down" and match[3] == "resnets"), default=0)
    attending = {match[2] for match in found if match[1] == "up" and match[3] == "attentions"}
    names = {module: _rename(module, layers, attending) for module in modules}
    return {module: name for module, name in names.items() if name is not None}


def _rename(module: str, layers: int, attending: Collection[str]) -> str | None:
    if (match := _BLOCK.fullmatch(module)) is None:
        start = next((start for start in _PLAIN if module == start or module.startswith(f"{start}.")), None)
        return None if start is None else _PLAIN[start] + _inner(start, module[len(start) :])
    way, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5] or ""
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * (layers + 1)}.0.op" if rest == ".conv" else None
    if kind == "upsamplers":
        place = 2 if match[2] in attending else 1
        return f"output_blocks.{block * (layers + 1) + layers}.{place}{rest}"
    number = block * (layers + 1) + layer + (way == "down")
    side = "input_blocks" if way == "down" else "output_blocks"
    return f"{side}.{number}.{int(kind == 'attentions')}{_inner(kind, rest)}"


def _inner(place: str, rest: str) -> str:
    """What lies within a block, `.conv1` of `resnets` for one."""
    return f".{_OF_RESNET.get(rest[1:], rest[1:])}" if rest and "resnets" in place else rest
