"""How an adapter's factors were made before training: some ways changed the base model's weights, and do on loading."""

from influence.checkpoint_files.adapters.fields import refusal, shown

#: Ways that leave the base alone. What they made is in the saved factors.
_PLAIN = ("orthogonal", "eva", "mica")
#: Ways that take a part out of the base's weights, which PEFT can put back when the adapter is saved.
_CONVERTIBLE = ("pissa", "olora", "corda", "lora_ga")
#: Those of them that PEFT repeats exactly from the base alone: no data and no random numbers are in them.
_REPEATABLE = ("pissa", "olora", "loftq")
_CONVERT = (
    "model.save_pretrained(folder, path_initial_model_for_weight_conversion=initial) where the adapter was trained, "
    "with the adapter as it was before training saved in 'initial' with init_lora_weights true"
)
_KEEP_BASE = (
    "PeftModel.from_pretrained(base, adapter).unload().save_pretrained(folder), send that folder as 'base_model', and "
    "set init_lora_weights to true in adapter_config.json"
)


def refuse_initialisation(value: object) -> None:
    """Raise AdapterConfigRefused for a way that changed the base model's weights, and for one that is not known.

    Which base the factors belong to then depends on who loads them; scores on the wrong one look like right ones.
    """
    if not isinstance(value, str) or value in _PLAIN or value.lower() == "gaussian":
        return
    name = value.lower()
    if not name.startswith((*_CONVERTIBLE, "loftq")):
        raise refusal(
            "init_lora_weights",
            f"is {shown(value)}, which is not known here, so that it may have changed the base model's weights",
            "Set it to true if the base model's weights are as they were before training.",
        )
    ways = [f"convert the adapter with {_CONVERT}"] if name.startswith(_CONVERTIBLE) else []
    if name in _REPEATABLE:
        ways.append(f"save the base as the adapter saw it with {_KEEP_BASE}")
    else:
        ways.append(
            "send the base with the weights that the adapter was trained on, saved from the training run, and set "
            "init_lora_weights to true in adapter_config.json"
        )
    hint = "; or ".join(ways) + "."
    raise refusal(
        "init_lora_weights",
        f"is {shown(value)}: this initialisation took a part out of the base model's weights",
        hint[0].upper() + hint[1:],
    )
