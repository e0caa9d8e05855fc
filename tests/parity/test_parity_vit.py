"""A plain vision transformer's view equals that of transformers' ViT and SigLIP image processors."""

import numpy as np
import pytest
from processors import picture, random_sizes
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from operators.profiles import load_profile
from operators.slicing.vit import VitConfig
from tests.rendering import rendered

SMALL = [(97, 64), (40, 130), (224, 224), (300, 200), (420, 35)]
LARGE = [size for size in random_sizes(200, seed=3, longest=3000) if size[0] * size[1] <= 4_000_000][:40]
SIZES = [*SMALL, *(pytest.param(*size, marks=pytest.mark.slow) for size in LARGE)]
REFERENCES = {
    "vit": (load_profile("vit").slicing, ViTImageProcessorPil),
    "siglip": (VitConfig(size=384, patch=14, resample="bicubic"), SiglipImageProcessorPil),
}


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("family", list(REFERENCES))
def test_view_equals_the_processors_pixel_for_pixel(family, width, height):
    config, processor = REFERENCES[family]
    source = picture(width, height)
    size = {"height": config.size, "width": config.size}
    (theirs,) = processor(size=size, do_rescale=False, do_normalize=False)(source)["pixel_values"]
    (ours,) = rendered(source, config.plan(width, height, {"placeholder": "<image>"}))
    assert np.array_equal(np.asarray(ours).transpose(2, 0, 1), theirs)


def test_profile_normalises_as_the_processor():
    profile = load_profile("vit")
    assert list(profile.mean) == list(ViTImageProcessorPil.image_mean)
    assert list(profile.std) == list(ViTImageProcessorPil.image_std)
