"""Reward heads trained on pairs: how much higher the chosen answer is scored."""

from collections.abc import Sequence
from contextlib import nullcontext

from torch import Tensor, nn

from influence.contracts.checkpoint import RowEnds
from influence.contracts.tasks import PAIRWISE_REWARD, TaskName
from workers.batching.padding import choose_filler, told_padding
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Materials
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.pairs import Pairs, flatten


class PairwiseReward(Pairs):
    """A row's loss is -log sigmoid(r(chosen) - r(rejected) - margin), the Bradley-Terry model; r is the head's output
    for prompt and answer, margin 0 where a row has none (Touvron et al. 2023, equation 2). Where training kept rewards
    near 0, `centering` (r(chosen) + r(rejected))^2 is added (Eisenstein et al. 2023)."""

    name: TaskName = PAIRWISE_REWARD.name
    scope = "all"

    def __init__(
        self, encoder: TextEncoder, *, pad_id: int | None, ends: RowEnds | None = None, centering: float = 0.0
    ) -> None:
        super().__init__(encoder, ends)
        self._pad_id = pad_id
        self._centering = centering

    @classmethod
    def make(cls, materials: Materials) -> "PairwiseReward":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: the loss falls on the pair."""
        materials.refuse_scope()
        centering = materials.settings.center_rewards_coefficient or 0.0
        return cls(materials.encoder, pad_id=materials.head_pad_id, ends=materials.ends("reward"), centering=centering)

    def filler(self, sides: Sequence[EncodedRow]) -> int:
        return choose_filler(sides) if self._pad_id is None else self._pad_id

    def labels(self, row: Row, sides: Sequence[EncodedRow]) -> float:
        """The margin that the chosen answer should win by."""
        return float(row.get("margin", 0.0))

    def row_losses(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = dict(flatten(batch))
        with told_padding(model, Batch(inputs, batch.labels)) if self._pad_id is None else nullcontext():
            scores = model(**inputs).logits.view(len(batch), -1)
        wide = scores if scores.dtype == batch.labels.dtype else scores.float()
        preferred = -nn.functional.logsigmoid(wide[:, 0] - wide[:, 1] - batch.labels.to(wide.dtype))
        return preferred + self._centering * wide.sum(dim=1).square() if self._centering else preferred
