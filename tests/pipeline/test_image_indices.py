"""From a pack's columns: which images each token may see, and where the document of each image begins."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import build, write_small_shards

from pipeline.loading import PackedDataset, collate
from pipeline.loading.indices import attention_mask, image_indices
from pipeline.types import Modality

TEXT, IMAGE, MARKER, PADDING = Modality.TEXT, Modality.IMAGE, Modality.MARKER, Modality.PADDING


def view(sample, image, start, tokens):
    return {"sample": sample, "image": image, "start": start, "tokens": tokens}


def pack_of_three():
    """t t I I m t I | t t t | I I I I t (the second part of a document, its image has two views) and padding."""
    modality = [MARKER, TEXT, IMAGE, IMAGE, MARKER, TEXT, IMAGE, TEXT, TEXT, TEXT, IMAGE, IMAGE, IMAGE, IMAGE, TEXT]
    return {
        "modality": [*modality, PADDING, PADDING],
        "cu_seqlens": [0, 7, 10, 15, 17],
        "samples": [{"start": 0, "length": 7}, {"start": 7, "length": 3}, {"start": 10, "length": 5}],
        "views": [view(0, 0, 2, 2), view(0, 1, 6, 1), view(2, 4, 10, 1), view(2, 4, 11, 3)],
    }


def test_pack_of_three_documents():
    found = image_indices(pack_of_three())
    assert found["image_attn_index"].tolist() == [-1, -1, 0, 0, 0, 0, 1, -1, -1, -1, 2, 2, 2, 2, 2, -1, -1]
    assert found["first_image_index"].tolist() == [-1, -1, 0, 0, 0, 0, 0, -1, -1, -1, 2, 2, 2, 2, 2, -1, -1]
    assert found["image_starts"].tolist() == [2, 6, 10]
    assert found["nearest_bos_idxs"].tolist() == [0, 0, 10]
    assert found["num_image_per_seq"].tolist() == [3]
    assert found["num_image_per_document"].tolist() == [2, 0, 1]
    assert [own.tolist() for own in found["image_views"]] == [[0], [1], [2, 3]]


def seen(mask):
    return [row.nonzero().flatten().tolist() for row in mask]


def test_masks_are_flamingos_and_mm_interleaveds():
    found = image_indices(pack_of_three())
    last, all_so_far = attention_mask(found), attention_mask(found, last_only=False)
    assert last.shape == all_so_far.shape == (17, 3)
    assert [row.nonzero().flatten().tolist() for row in last[[0, 2, 5, 6, 8, 14, 16]]] == [
        [],
        [0],
        [0],
        [1],
        [],
        [2],
        [],
    ]
    assert [row.nonzero().flatten().tolist() for row in all_so_far[[1, 5, 6, 9, 12]]] == [[], [0], [0, 1], [], [2]]
    assert (last <= all_so_far).all()


def test_a_pack_without_images_has_none():
    found = image_indices({"modality": [TEXT] * 3, "samples": [{"start": 0, "length": 3}], "views": []})
    assert found["image_attn_index"].tolist() == [-1] * 3
    assert found["num_image_per_seq"].tolist() == [0]
    assert found["image_starts"].dtype == torch.int64
    assert found["nearest_bos_idxs"].shape == (0,)
    assert attention_mask(found).shape == (3, 0)


def test_padding_inside_an_aligned_document_sees_nothing():
    pack = pack_of_three()
    pack["modality"][5] = PADDING
    assert image_indices(pack)["image_attn_index"].tolist()[4:7] == [0, -1, 1]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A family whose images have views of two scales, row by row between each other."""
    folder = tmp_path_factory.mktemp("indices")
    shards = write_small_shards(folder / "in", 1, 4)
    build(folder / "out", shards, "profile=llava_next_hf", "sequence_length=8192", workers=1)
    return folder / "out"


def test_of_a_real_build_every_image_is_whole_inside_one_sequence(output):
    num_images = 0
    for row in packs_of(output):
        found = image_indices(row)
        modality, borders = np.array(row["modality"]), np.array(row["cu_seqlens"])
        shown = modality == IMAGE
        last, first = found["image_attn_index"].numpy(), found["first_image_index"].numpy()
        documents = np.searchsorted(borders, np.arange(len(modality)), side="right")
        for number, own in enumerate(found["image_views"]):
            places = np.flatnonzero(shown & (last == number))
            assert len(places) == sum(row["views"][k]["tokens"] for k in own)
            assert places[0] == found["image_starts"][number]
            assert len(set(documents[places])) == 1
            begin = found["nearest_bos_idxs"][number]
            assert begin == borders[documents[places[0]] - 1] <= places[0]
            num_images += 1
        # What each token may see: images of its own document that have begun, and no other.
        for token in range(0, len(modality), 7):
            begun = [
                number
                for number, start in enumerate(found["image_starts"].tolist())
                if start <= token and documents[start] == documents[token] and modality[token] != PADDING
            ]
            assert (first[token], last[token]) == ((begun[0], begun[-1]) if begun else (-1, -1))
        assert found["num_image_per_document"].sum() == found["num_image_per_seq"] == len(found["image_views"])
    assert num_images > 2


def packs_of(output):
    files = sorted((output / "data").rglob("*.parquet"))
    assert files
    for path in files:
        yield from pq.read_table(path, columns=["modality", "samples", "cu_seqlens", "views"]).to_pylist()


def test_a_data_set_gives_them_where_it_is_asked_to(output):
    rows = list(PackedDataset(str(output), indices=True))
    assert "indices" not in next(iter(PackedDataset(str(output))))
    for row, pack in zip(rows, packs_of(output), strict=True):
        for name, value in image_indices(pack).items():
            assert all(torch.equal(a, b) for a, b in zip(row["indices"][name], value, strict=True))
        assert "pixel_values" in row["model"]
        assert "indices" not in row["model"]
    batch = collate(rows[:2])
    assert batch["indices"] == [row["indices"] for row in rows[:2]]
