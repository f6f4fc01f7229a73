"""Names of blocks as people read them: without the layers of wrapping that adapters add."""

import re

_NOISE = re.compile(r"^(base_model\.model\.|base_model\.)|\.(default|base_layer|modules_to_save)(?=\.|$)")


def readable_name(parameter_name: str) -> str:
    """`base_model.model.bert.x.lora_A.default.weight` becomes `bert.x.lora_A.weight`.

    Two different parameters never share a name: only wrapping that every adapter adds is dropped.
    """
    return _NOISE.sub("", parameter_name)
