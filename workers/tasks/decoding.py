"""Greedy decoding: the model's most probable continuation, the same on every run."""

from collections.abc import Collection, Sequence

import torch


@torch.no_grad()
def decode_greedily(
    model: torch.nn.Module, question: Sequence[int], *, stop_ids: Collection[int], max_new_tokens: int
) -> tuple[list[int], float]:
    """Continue token ids until a stop id or `max_new_tokens`; answers ids (without the stop) and the log probability.

    One row at a time: padding would move rounding, and a changed rounding can change the answer.
    """
    device = next(model.parameters()).device
    read = torch.tensor([list(question)], device=device)
    given, cache, answer, log_probability = read, None, [], 0.0
    for _ in range(max_new_tokens):
        output = model(input_ids=given, past_key_values=cache, use_cache=True)
        chances = output.logits[0, -1].float().log_softmax(dim=-1)
        best = int(chances.argmax())
        log_probability += float(chances[best])
        if best in stop_ids:
            break
        answer.append(best)
        cache = getattr(output, "past_key_values", None)
        read = torch.cat([read, torch.tensor([[best]], device=device)], dim=1)
        given = read if cache is None else read[:, -1:]
    return answer, log_probability
