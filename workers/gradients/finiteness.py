"""One gradient that is not finite poisons every score of an index: find it where it is made."""

import torch

from workers.gradients.collector import RowGradients


def find_non_finite(gradients: RowGradients) -> list[int]:
    """Rows of the batch with a NaN or infinite loss or gradient: one sum a block, which neither can leave finite."""
    sums = torch.stack([gradients.losses.double(), *(g.sum(dim=1).double() for g in gradients.blocks.values())])
    return torch.nonzero(~torch.isfinite(sums).all(dim=0)).flatten().tolist()
