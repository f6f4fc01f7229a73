"""Per-row gradients by a peer library beside ours, on the same padded batches; prints one JSON line.

Runs in an interpreter that has the peer installed beside this project: `python -m benchmarks.gradients.peers dattri`.
The model is MiniLM with LoRA on query and value; every peer gives the gradients of the same trainable weights.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gradients.contenders import Run, attention_bias, collecting
from benchmarks.gradients.timing import measure, median_ratio, time_in_turns
from benchmarks.gradients.workloads import Workload, make_workload
from workers.batching.plan import plan_batches
from workers.gradients.collector import GradientCollector
from workers.rows import Batch

_CPU = torch.device("cpu")


class _Packed(nn.Module):
    """The model as peers call it: one tensor in, (rows, 2, tokens) of ids and mask, logits out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, packed: Tensor) -> Tensor:
        bias = attention_bias(packed[:, 1], causal=False)
        logits: Tensor = self.model(input_ids=packed[:, 0], attention_mask=bias).logits
        return logits


def _pack(batch: Batch) -> Tensor:
    return torch.stack([batch.inputs["input_ids"], batch.inputs["attention_mask"]], dim=1)


def run_pydvl(work: Workload, batches: Sequence[Batch]) -> Run:
    """pyDVL's per-sample gradient function, on which its influence models stand."""
    from pydvl.influence.torch.functional import create_per_sample_gradient_function

    _freeze_biases(work)
    model = _Packed(work.model)
    parameters = {f"model.{name}": parameter.detach() for name, parameter in work.trainable.items()}
    gradients = create_per_sample_gradient_function(model, functional.cross_entropy)

    def run() -> None:
        for batch in batches:
            gradients(parameters, _pack(batch), batch.labels)

    return run


def run_dattri(work: Workload, batches: Sequence[Batch]) -> Run:
    """dattri's gradient function of an attribution task, restricted to the trainable layers."""
    from dattri.task import AttributionTask

    model = _Packed(work.model)

    def loss(parameters: dict[str, Tensor], data: tuple[Tensor, Tensor]) -> Tensor:
        packed, label = data
        return functional.cross_entropy(torch.func.functional_call(model, parameters, packed), label.reshape(-1))

    names = [f"model.{name}" for name in work.trainable]
    task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
    gradients = task.get_grad_loss_func(in_dims=(None, 0), layer_name=names, ckpt_idx=0)
    parameters, _ = task.get_param(ckpt_idx=0, layer_name=names)

    def run() -> None:
        for batch in batches:
            # A row keeps a first size of one, so that the model sees a batch.
            gradients(parameters, (_pack(batch)[:, None], batch.labels))

    return run


def run_bergson(work: Workload, batches: Sequence[Batch]) -> Run:
    """bergson's hooks on the trainable linear layers, gradients kept for the batch."""
    from bergson.collector.collector import HookCollectorBase

    class Kept(HookCollectorBase):  # type: ignore[misc]
        def setup(self) -> None:
            self.save_dtype = torch.float32

        def teardown(self) -> None:
            self.mod_grads.clear()

        def backward_hook(self, module: nn.Module, delta: Tensor) -> None:
            self.mod_grads[module._name] = self._compute_gradient(module, delta)

        def process_batch(self, indices: list[int], **_others: Any) -> None:
            self.mod_grads.clear()

    # Its hooks want (rows, tokens, width), so the pooled head is left to ours alone.
    names = {name.removesuffix(".weight") for name in work.trainable if "lora" in name}
    collector = Kept(model=work.model, target_modules=names)

    def run() -> None:
        with collector:
            for batch in batches:
                work.row_losses(work.model, batch).sum().backward()  # type: ignore[no-untyped-call]
                collector.process_batch([])
                work.model.zero_grad()

    return run


PEERS: dict[str, Callable[[Workload, Sequence[Batch]], Run]] = {
    "pydvl": run_pydvl,
    "dattri": run_dattri,
    "bergson": run_bergson,
}


def main() -> None:
    """Time one peer and ours in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--batch-rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work = make_workload("minilm-sst2", shared=options.shared, data=None, rows=options.rows, device=_CPU)
    lengths = [row.length for row in work.rows]
    plan = plan_batches(lengths, token_budget=options.batch_rows * max(lengths), max_rows=options.batch_rows)
    batches = [work.collate([work.rows[position] for position in positions]) for positions in plan]
    ours = collecting(GradientCollector(work.model, work.row_losses), batches)
    contenders: dict[str, Run] = {"ours": ours, options.peer: PEERS[options.peer](work, batches)}
    for run in contenders.values():
        measure(run)
    seconds = time_in_turns(contenders, rounds=options.rounds)
    line = {
        "peer": options.peer,
        "threads": options.threads,
        "rows": len(work.rows),
        "seconds": seconds,
        "rows_per_second": len(work.rows) / statistics.median(seconds[options.peer]),
        "ours_rows_per_second": len(work.rows) / statistics.median(seconds["ours"]),
        "ratio": median_ratio(seconds, options.peer, "ours"),
    }
    print(json.dumps(line))


def _freeze_biases(work: Workload) -> None:
    for name, parameter in work.model.named_parameters():
        if name.endswith("bias"):
            parameter.requires_grad_(False)


if __name__ == "__main__":
    main()
