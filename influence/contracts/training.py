"""How an adapter is trained again: what an evaluation has to know to ask real training whether scores are right."""

from pydantic import Field

from influence.contracts.common import Request


class TrainingRecipe(Request):
    """AdamW with a linear warm-up and decay, over batches of rows of like length, shuffled every epoch.

    A row's loss is the mean over its supervised tokens, a batch's the mean over its rows. `seed` decides the fresh
    adapter, the head, the order of batches and dropout.
    """

    epochs: int = Field(6, ge=1, le=1000, description="Epochs per training.")
    batch_rows: int = Field(16, ge=1, le=4096, description="Rows per step.")
    learning_rate: float = Field(2e-3, gt=0, le=1, allow_inf_nan=False, description="Highest learning rate.")
    warmup_share: float = Field(0.1, ge=0, le=1, description="Share of all steps until the full learning rate.")
    weight_decay: float = Field(0.01, ge=0, le=10, allow_inf_nan=False)
    max_gradient_norm: float = Field(1.0, gt=0, le=1e9, allow_inf_nan=False)
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=1 << 31)
