"""Direct preference optimisation: how much more than its base the model prefers the chosen answer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from influence.contracts.checkpoint import RowEnds
from influence.contracts.index import DEFAULT_BETA
from influence.contracts.tasks import DIRECT_PREFERENCE, TaskName
from influence.errors import TaskMismatch
from workers.gradients.adapters import adapter_off
from workers.gradients.losses import row_sum_cross_entropy, supervised_logits
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Materials
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.pairs import Pairs, flatten


class DirectPreference(Pairs):
    """A row's loss is -log sigmoid(beta ((log p - log q)(chosen) - (log p - log q)(rejected))), Rafailov et al. 2023,
    equation 7: p is the model, q its base with the adapter off, each summed over an answer's tokens."""

    name: TaskName = DIRECT_PREFERENCE.name
    scope = "completion"

    def __init__(self, encoder: TextEncoder, *, pad_id: int, beta: float, ends: RowEnds | None = None) -> None:
        super().__init__(encoder, ends)
        self._pad_id = pad_id
        self._beta = beta

    @classmethod
    def make(cls, materials: Materials) -> "DirectPreference":
        """The task of a loaded checkpoint. Raises TaskMismatch for a plain model, whose reference nobody knows."""
        materials.refuse_scope()
        if materials.checkpoint.adapter is None:
            raise TaskMismatch("The loss compares with the model before training, and a plain model has no adapter.")
        beta = materials.settings.beta
        return cls(
            materials.encoder,
            pad_id=materials.pad_id,
            beta=DEFAULT_BETA if beta is None else beta,
            ends=materials.ends("dpo"),
        )

    def filler(self, sides: Sequence[EncodedRow]) -> int:
        return self._pad_id

    def labels(self, row: Row, sides: Sequence[EncodedRow]) -> None:
        """The tokens say it all."""

    def row_losses(self, model: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad(), adapter_off(model):
            reference = _log_likelihoods(model, batch)
        gains = _log_likelihoods(model, batch) - reference
        return -nn.functional.logsigmoid(self._beta * (gains[:, 0] - gains[:, 1]))


def _log_likelihoods(model: nn.Module, batch: Batch) -> Tensor:
    """Log-likelihood of each answer after its prompt, (B, 2)."""
    logits, targets = supervised_logits(model, {**flatten(batch), "use_cache": False}, batch.labels.flatten(0, 1))
    return -row_sum_cross_entropy(logits, targets).view(len(batch), -1)
