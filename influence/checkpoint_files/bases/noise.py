"""What a pipeline's scheduler says of its noise: only what is read here by the same formulas is taken."""

from collections.abc import Mapping
from typing import Any, Literal

from influence.errors import UnsupportedModule

Prediction = Literal["epsilon", "v_prediction"]
_PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v_prediction")
#: How betas follow from their first, last and number, as diffusers computes them.
_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid")
_HINT = "Offered are UNet pipelines of Stable Diffusion 1.x, 2.x and XL, whose schedulers name their betas."


def read_prediction(scheduler: Mapping[str, Any]) -> Prediction:
    """What the UNet predicts. Raises UnsupportedModule for noise of another kind: flow matching, noise levels without
    betas (EDM), timesteps that are none."""
    refuse_flow_matching(str(scheduler.get("_class_name", "")))
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS:
        raise UnsupportedModule(
            f"The scheduler's prediction_type is {str(prediction)[:60]!r}.",
            hint=f"Offered are {' and '.join(_PREDICTIONS)}.",
        )
    schedule = scheduler.get("beta_schedule")
    if scheduler.get("trained_betas") is None and schedule not in _SCHEDULES:
        raise UnsupportedModule(f"The scheduler's beta_schedule is {str(schedule)[:60]!r}.", hint=_HINT)
    others = {
        "timestep_type": scheduler.get("timestep_type") == "continuous",
        "use_flow_sigmas": bool(scheduler.get("use_flow_sigmas")),
        "snr_shift_scale": scheduler.get("snr_shift_scale") not in (None, 1),
    }
    if named := [name for name, is_other in others.items() if is_other]:
        raise UnsupportedModule(
            f"The scheduler's {named[0]} is {str(scheduler[named[0]])[:60]!r}, other noise than its betas say.",
            hint=_HINT,
        )
    found: Prediction = prediction
    return found


def ends_in_noise(scheduler: Mapping[str, Any]) -> bool:
    """Whether nothing is left of an image at the last timestep."""
    betas = scheduler.get("trained_betas")
    last = betas[-1] if isinstance(betas, list) and betas else None
    return scheduler.get("rescale_betas_zero_snr") is True or (isinstance(last, int | float) and last >= 1)


def noise_of_noise() -> UnsupportedModule:
    """What to raise where an image is to be made from what a UNet says of the noise in nothing but noise."""
    return UnsupportedModule(
        "No image can be made: the last timestep of the pipeline's scheduler is pure noise "
        "(rescale_betas_zero_snr), and its UNet predicts the noise, which says nothing of an image there.",
        hint="Ask about an image and its caption. If training predicted velocities, or did not rescale the betas, "
        "correct prediction_type or rescale_betas_zero_snr in scheduler_config.json and send the checkpoint again.",
    )


def refuse_flow_matching(name: str) -> None:
    """Raise UnsupportedModule for classes of pipelines and schedulers that are trained by flow matching."""
    if any(word in name for word in ("StableDiffusion3", "Flux", "FlowMatch", "AuraFlow", "Lumina", "Sana")):
        raise UnsupportedModule(
            f"{name[:80]} is trained by flow matching on a transformer, which is not scored here.",
            hint="Offered are UNet pipelines of Stable Diffusion 1.x, 2.x and XL.",
        )
