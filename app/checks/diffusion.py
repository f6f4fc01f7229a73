"""Settings of image models: resolved for a diffusion pipeline, refused for everything else."""

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import DiffusionSettings, IndexRequest
from influence.errors import InvalidRequest


def choose_diffusion(checkpoint: Checkpoint, request: IndexRequest) -> DiffusionSettings | None:
    """The settings wanted, with the resolution spelt out; None for a model of text.

    Raises InvalidRequest for settings that the checkpoint cannot follow.
    """
    pipeline, wanted = checkpoint.pipeline, request.diffusion
    if pipeline is None:
        if wanted is not None:
            raise InvalidRequest(
                f"{checkpoint.id} is no diffusion pipeline: it has no timesteps and no noise.",
                hint="Leave 'diffusion' out.",
                extra={"field": "diffusion"},
            )
        return None
    settings = wanted or DiffusionSettings()
    if settings.timesteps > pipeline.train_timesteps:
        raise InvalidRequest(
            f"{settings.timesteps} timesteps are asked for; the model was trained on {pipeline.train_timesteps}.",
            hint="Ask for fewer: 10 are usual.",
            extra={"field": "diffusion.timesteps"},
        )
    resolution = settings.resolution or pipeline.resolution
    if resolution % pipeline.pixels_per_place:
        raise InvalidRequest(
            f"A resolution of {resolution} pixels makes no whole latents: each place stands for "
            f"{pipeline.pixels_per_place} pixels a side.",
            hint=f"Send a multiple of {pipeline.pixels_per_place}.",
            extra={"field": "diffusion.resolution"},
        )
    if request.kronecker:
        raise InvalidRequest(
            "Kronecker factors are not collected for image models.",
            hint="Leave 'kronecker' out; every method but 'ekfac' does without.",
            extra={"field": "kronecker"},
        )
    return settings.model_copy(update={"resolution": resolution})
