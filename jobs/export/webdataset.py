"""Plain WebDataset: tar shards for any of its readers, and lodepack.json, which lists them, written last.

Read it back with the package's own decoders, of which none loads a pickle from these members:

    urls = [f"{root}/{shard['name']}" for shard in json.load(open(f"{root}/lodepack.json"))["shards"]]
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"):
        sample["input_ids.npy"], sample["views.json"], sample["view.0000.jpg"]
"""

from __future__ import annotations

from jobs.export.shards import ABOUT, Export, Shard
from jobs.export.tars import LAYOUT, write_tars


def write_webdataset(export: Export) -> list[Shard]:
    """Writes the shards and, when all are there, lodepack.json."""
    shards = []
    for shard, path in write_tars(export):
        export.target.put(shard.name, path)
        shards.append(shard)
    export.target.put_bytes(ABOUT, export.about("webdataset", LAYOUT, shards))
    return shards
