"""Encoders of compact indexes, kept at hand with their basis on the worker's device."""

from dataclasses import replace

import torch

from influence.compact.encoder import Encoder
from influence.compact.packing import unpack_encoder
from influence.contracts.index import Index
from influence.process.lru import Lru
from influence.store.data.indexes import IndexData
from workers.runtime.basis_sample import ENCODER, SAMPLE, Sample

_ENCODERS_KEPT = 2


class Encoders:
    """Encoders by index and build, with the rows that they were fitted with."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: Lru[tuple[str, str], tuple[Encoder, Sample]] = Lru(_ENCODERS_KEPT, reserve=1)

    def get(self, data: IndexData, index: Index) -> tuple[Encoder, Sample]:
        """The encoder of an index and the rows it was fitted with. Raises DamagedChunk when they are lost."""
        # An index that was deleted and built again has the same id, another job and perhaps another basis.
        return self._kept.get((index.id, index.job_id), lambda: self._read(data, index.build))

    def builds(self) -> set[tuple[str, str]]:
        """Ids and builds of the indexes that something is kept of."""
        return {(key[0], key[1]) for key in self._kept}

    def forget(self, index_id: str) -> None:
        """Drop what belongs to an index that was deleted."""
        self._kept.forget(lambda key: key[0] == index_id)

    def _read(self, data: IndexData, build: str) -> tuple[Encoder, Sample]:
        encoder = unpack_encoder(data.require_parts(build, ENCODER))
        on_device = encoder.basis.like(torch.zeros(0, dtype=torch.float32, device=self._device))
        sample = Sample.from_arrays(data.require_parts(build, SAMPLE), encoder.sample)
        return replace(encoder, basis=on_device), sample
