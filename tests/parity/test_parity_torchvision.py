"""With `resize: torch` views equal those of transformers' processors on torchvision, where one that fits torch is."""

import numpy as np
import pytest
from processors import picture

pytest.importorskip("torchvision", reason="transformers' default processors need it", exc_type=ImportError)

from transformers.models.got_ocr2.image_processing_got_ocr2 import GotOcr2ImageProcessor
from transformers.models.idefics3.image_processing_idefics3 import Idefics3ImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from operators.profiles import load_profile
from operators.raster import raster_of
from operators.slicing.render import to_patches
from operators.slicing.resizing_torch import resize_by_torch
from tests.rendering import rendered

RAW = {"do_rescale": False, "do_normalize": False}
SIZES = [(300, 200), (200, 300), (90, 410), (640, 480), (1000, 333)]


def views_of(name, size):
    profile = load_profile(name)
    views = rendered(picture(*size), profile.slicing.plan(*size, profile.tokens.by_role()), resize_by_torch)
    return profile.slicing, views


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_patches_of_qwen(size):
    slicing, (view,) = views_of("qwen2_5_vl", size)
    ours = np.frombuffer(to_patches(raster_of(view), slicing.patch, slicing.merge), np.uint8)
    ours = ours.reshape(-1, 3, 1, slicing.patch, slicing.patch).repeat(2, axis=2)
    limits = {"shortest_edge": slicing.min_pixels, "longest_edge": slicing.max_pixels}
    theirs = Qwen2VLImageProcessor(size=limits, patch_size=slicing.patch, merge_size=slicing.merge, **RAW)
    found = theirs(picture(*size), return_tensors="pt")["pixel_values"]
    assert np.array_equal(ours.reshape(len(ours), -1), found.numpy())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiles_of_internvl(size):
    _, views = views_of("internvl", size)
    theirs = GotOcr2ImageProcessor(size={"height": 448, "width": 448}, **RAW)
    found = theirs(picture(*size), crop_to_patches=True, return_tensors="pt")["pixel_values"]
    assert np.array_equal(np.stack([np.asarray(view).transpose(2, 0, 1) for view in views]), found.numpy())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiles_of_idefics3(size):
    slicing, views = views_of("idefics3", size)
    limits = {"size": {"longest_edge": slicing.longest}, "max_image_size": {"longest_edge": slicing.tile}}
    found = Idefics3ImageProcessor(**limits, **RAW)([picture(*size)], return_tensors="pt")["pixel_values"][0]
    assert np.array_equal(np.stack([np.asarray(view).transpose(2, 0, 1) for view in views]), found.numpy())
