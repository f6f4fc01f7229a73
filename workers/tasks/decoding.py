"""Greedy decoding: the model's most probable continuation, the same on every run."""

from collections.abc import Collection, Sequence
from typing import Any

import torch

#: Tokens of an answer that takes the label's place.
MAX_ANSWER_TOKENS = 64


@torch.no_grad()
def answer_greedily(
    model: torch.nn.Module, source: Sequence[int], *, start_id: int, forced_id: int | None, stop_ids: Collection[int]
) -> tuple[list[int], float]:
    """What an encoder-decoder makes of source ids, as `decode_greedily`; `forced_id` begins every answer."""
    device = next(model.parameters()).device
    read = torch.tensor([list(source)], device=device)
    mask = torch.ones_like(read)
    called: Any = model
    encoded = called.get_encoder()(input_ids=read, attention_mask=mask)
    given, cache, answer, log_probability = torch.tensor([[start_id]], device=device), None, list[int](), 0.0
    for step in range(MAX_ANSWER_TOKENS):
        output = model(
            encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=given, past_key_values=cache, use_cache=True
        )
        chances = output.logits[0, -1].float().log_softmax(dim=-1)
        best = forced_id if step == 0 and forced_id is not None else int(chances.argmax())
        log_probability += 0.0 if step == 0 and forced_id is not None else float(chances[best])
        if best in stop_ids:
            break
        answer.append(best)
        cache, given = output.past_key_values, torch.tensor([[best]], device=device)
    return answer, log_probability


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
