"""The trainer's side: packs of a finished output as the tensors that a model of transformers takes as they are."""

from pipeline.loading.dataset import PackedDataset
from pipeline.loading.example import collate

__all__ = ["PackedDataset", "collate"]
