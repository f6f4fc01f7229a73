"""Embeddings of rows under the checkpoint: what the baseline `embedding` compares.

An embedding is the mean of the last hidden states over a row's own tokens, at length 1; of an encoder-decoder the
decoder's, over the completion. A task may say otherwise: of an image model it is the image itself, as the noise falls
on it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from influence.errors import NonFiniteGradients, UnsupportedModule
from workers.rows import Batch, EncodedRow, Row
from workers.runtime.models import HotModel
from workers.runtime.row_stream import stream_forward
from workers.runtime.state import Runtime
from workers.tasks.base import Embedder

#: Name of the vectors where gradients have the names of blocks.
VECTORS = "embedding"


def embed_batch(model: nn.Module, batch: Batch) -> Tensor:
    """Unit embeddings (B, width) float32 of a batch's rows; zero where all hidden states cancel out.

    The head is left out. Raises UnsupportedModule for a model that tells no hidden states.
    """
    base = getattr(model, "get_base_model", lambda: model)()
    encoder = getattr(base, "base_model", base)
    mask_name = "attention_mask"
    if "decoder_attention_mask" in batch.inputs:
        hidden = base(**batch.inputs, output_hidden_states=True).decoder_hidden_states[-1]
        mask_name = "decoder_attention_mask"
    else:
        hidden = getattr(encoder(**batch.inputs), "last_hidden_state", None)
    if hidden is None:
        raise UnsupportedModule(
            f"A {type(encoder).__name__} tells no hidden states, so its rows have no embedding.",
            hint="Use an influence method; GET /v1/methods lists them.",
        )
    if mask_name not in batch.inputs:  # patches of images are all attended to
        return nn.functional.normalize(_by_place(hidden.float()).mean(dim=1), dim=1)
    # The last layer of a base that is spread over GPUs lies elsewhere than the first.
    mask = batch.inputs[mask_name][:, :, None].to(hidden.device, torch.float32)
    mean = (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
    return nn.functional.normalize(mean, dim=1)


def _by_place(hidden: Tensor) -> Tensor:
    """Hidden states (B, places, width), also of a convolution that gives (B, width, H, W)."""
    return hidden if hidden.dim() == 3 else hidden.flatten(2).transpose(1, 2)


def embed_rows(runtime: Runtime, model: HotModel, encoded: Sequence[EncodedRow]) -> Tensor:
    """Unit embeddings (rows, width) float32 on the CPU, in order. Raises NonFiniteGradients naming rows."""
    embeddings: Tensor | None = None
    embed = model.task.embed if isinstance(model.task, Embedder) else embed_batch
    for positions, vectors in stream_forward(runtime, model, encoded, embed):
        if embeddings is None:
            embeddings = torch.empty(len(encoded), vectors.shape[1])
        embeddings[positions] = vectors.cpu()
    assert embeddings is not None
    bad = torch.nonzero(~torch.isfinite(embeddings).all(dim=1)).flatten().tolist()
    if bad:
        names = ", ".join(encoded[row].row_id for row in bad[:5])
        raise NonFiniteGradients(f"{len(bad)} rows have NaN or infinite hidden states: {names}.")
    return embeddings


def collect_embeddings(runtime: Runtime, model: HotModel, rows: Sequence[Row]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses of test points, and their embeddings in the gradients' place."""
    encoded = model.task.tokenise(rows)
    losses = torch.empty(len(encoded))
    for positions, batch in stream_forward(runtime, model, encoded, model.task.row_losses):
        losses[positions] = batch.float().cpu()
    return losses.tolist(), {VECTORS: embed_rows(runtime, model, encoded)}
