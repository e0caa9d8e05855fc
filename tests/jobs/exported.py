"""Reads an export back with its format's own reader: `python exported.py FORMAT FOLDER` prints its rows as JSON.

A script on its own, with nothing of lodepack, because a reader may need an environment that lodepack does not fit in.
A row is a row of the packs: lists, pixels in hex; `types` of its numbers beside it.
"""

import io
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np


def row(key, columns, data):
    """columns: values by name; data: gives the bytes of a view's `pixels`, and drops from these what no pack has."""
    types = {name: value.dtype.name for name, value in columns.items() if isinstance(value, np.ndarray)}
    plain = {name: value.tolist() if name in types else value for name, value in columns.items()}
    for view in plain["views"]:
        if view["pixels"] is not None:
            found = data(view["pixels"])
            view["pixels"]["data"] = None if found is None else found.hex()
    return {"pack_id": key, "types": types, **plain}


def row_of_members(key, members):
    """members: bytes by what follows the key and a dot."""

    def data(pixels):
        name = pixels.pop("member", None)
        if name is None:
            return None
        return array(members[name]).tobytes() if name.endswith(".npy") else members[name]

    columns = {}
    for name, content in members.items():
        column, _, extension = name.partition(".")
        if column != "view":
            columns[column] = array(content) if extension == "npy" else json.loads(content)
    return row(key, columns, data)


def array(content):
    return np.load(io.BytesIO(content), allow_pickle=False)


def read_webdataset(folder):
    import webdataset

    about = json.loads(Path(folder, "lodepack.json").read_text())
    urls = [f"{folder}/{shard['name']}" for shard in about["shards"]]
    for sample in webdataset.WebDataset(urls, shardshuffle=False):
        yield row_of_members(sample["__key__"], {k: v for k, v in sample.items() if not k.startswith("_")})


def energon_samples(folder, decoder, *, training=False):
    from megatron.energon import (
        Cooker,
        DefaultTaskEncoder,
        WorkerConfig,
        get_loader,
        get_train_dataset,
        get_val_dataset,
        stateless,
    )

    class Packs(DefaultTaskEncoder):
        cookers = (Cooker(stateless(lambda sample: sample)),)

        def batch(self, samples):
            return samples[0]

        def encode_batch(self, batch):
            return batch

    Packs.decoder = decoder
    options = {
        "worker_config": WorkerConfig(rank=0, world_size=1, num_workers=0),
        "batch_size": 1,
        "task_encoder": Packs(),
    }
    if training:
        dataset = get_train_dataset(
            folder, shuffle_buffer_size=None, max_samples_per_sequence=None, repeat=False, **options
        )
    else:
        dataset = get_val_dataset(folder, split_part="train", **options)
    for sample in get_loader(dataset):
        yield sample["__key__"], {k: v for k, v in sample.items() if not k.startswith("_")}


def read_energon(folder):
    from megatron.energon import SampleDecoder
    from megatron.energon.cache.file_store import WebdatasetFileStore
    from megatron.energon.epathlib import EPath

    raw = list(energon_samples(folder, None))
    store = WebdatasetFileStore(EPath(Path(folder)))
    for key, members in raw:
        assert all(store[f"{key}.{name}"][0] == content for name, content in members.items())
    trained = dict(energon_samples(folder, None, training=True))
    assert trained == dict(raw)
    for (key, members), (_, decoded) in zip(
        raw, energon_samples(folder, SampleDecoder(image_decode="rgb8")), strict=True
    ):
        assert members.keys() == decoded.keys()
        assert all(np.asarray(decoded[name]).dtype == np.uint8 for name in decoded if name.startswith("view."))
        assert np.asarray(decoded["input_ids.npy"]).dtype == np.int32
        assert isinstance(decoded["views.json"], list)
        yield row_of_members(key, members)


def read_mds(folder):
    # streaming imports its data sets of pictures, and with them torchvision, whose build for CUDA does not load beside
    # a torch for CPUs; nothing that reads packs uses it.
    sys.modules |= {name: ModuleType(name) for name in ("torchvision.datasets", "torchvision.transforms.functional")}
    sys.modules["torchvision.datasets"].VisionDataset = object
    sys.modules["torchvision.transforms.functional"].to_tensor = None
    from streaming import StreamingDataset

    for sample in StreamingDataset(local=folder, shuffle=False, batch_size=1, validate_hash="sha256"):
        pixels = sample.pop("pixels")

        def data(place, pixels=pixels):
            start, size, shape = (place.pop(name, None) for name in ("start", "size_bytes", "shape"))
            if start is None:
                return None
            found = pixels[start : start + size]
            assert shape is None or np.prod(shape) == len(found)
            return found

        yield row(sample.pop("pack_id"), sample, data)


READERS = {"webdataset": read_webdataset, "energon": read_energon, "mds": read_mds}

if __name__ == "__main__":
    rows = list(READERS[sys.argv[1]](sys.argv[2]))
    print("\n" + json.dumps(rows))
