"""Encoders of compact indexes, kept at hand with their basis on the worker's device."""

import threading
from collections import OrderedDict
from dataclasses import replace

import torch

from influence.compact.encoder import Encoder
from influence.compact.packing import unpack_encoder
from influence.contracts.index import Index
from influence.store.data.indexes import IndexData
from workers.runtime.basis_sample import ENCODER, SAMPLE, Sample

_ENCODERS_KEPT = 2


class Encoders:
    """Encoders by index, with their basis on the worker's device; the least recently used leaves."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[tuple[str, str], tuple[Encoder, Sample]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, data: IndexData, index: Index) -> tuple[Encoder, Sample]:
        """The encoder of an index and the rows it was fitted with. Raises DamagedChunk when they are lost."""
        # An index that was deleted and built again has the same id, another job and perhaps another basis.
        key = (index.id, index.job_id)
        with self._lock:
            if key not in self._kept:
                encoder = unpack_encoder(data.read_parts(index.id, ENCODER))
                on_device = encoder.basis.like(torch.zeros(0, dtype=torch.float32, device=self._device))
                sample = Sample.from_arrays(data.read_parts(index.id, SAMPLE))
                self._kept[key] = (replace(encoder, basis=on_device), sample)
                if len(self._kept) > _ENCODERS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]
