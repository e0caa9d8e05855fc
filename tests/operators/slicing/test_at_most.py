"""Every scheme of tiles plans fewer of them when told to, and as ever when it may have as many as it wants."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.profiles import load_profile, profile_names
from operators.slicing import Tiled
from operators.slicing.anyres import AnyresConfig
from operators.slicing.idefics3 import Idefics3Config
from operators.slicing.internvl import InternVLConfig
from pipeline.errors import InputError
from pipeline.types import Place

PROFILES = {name: load_profile(name) for name in profile_names()}
TILED = [name for name, profile in PROFILES.items() if isinstance(profile.slicing, Tiled)]
ONE_VIEW = {"llava_1_5", "llava_1_5_hf", "pixtral", "vit"}
sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
places = st.sampled_from([Place(0, 1), Place(1, 3)])


def num_tiles(plan):
    return sum(view.kind == "tile" for view in plan.views)


def plan(name, size, place, tiles=None):
    profile = PROFILES[name]
    slicing = profile.slicing if tiles is None else profile.slicing.at_most(tiles)
    return slicing.plan(*size, profile.tokens.by_role(), place)


def fewest(name):
    """Tiles of the smallest canvas: the pinpoints of LLaVA-NeXT begin with two."""
    slicing = PROFILES[name].slicing
    if not isinstance(slicing, AnyresConfig):
        return 1
    return min(width * height // slicing.tile**2 for width, height in slicing.pinpoints)


def test_families_of_tiles_are_those_that_show_more_than_one_view_of_one_size():
    assert set(TILED) == {name for name in PROFILES if not name.startswith("qwen")} - ONE_VIEW


@pytest.mark.parametrize("name", TILED)
@settings(max_examples=60, deadline=None)
@given(size=sizes, place=places, tiles=st.integers(1, 40))
def test_no_more_tiles_than_allowed(name, size, place, tiles):
    with suppress(InputError):  # Phi-3.5's refuses what would be thinner than a pixel
        own = plan(name, size, place)
        found = plan(name, size, place, tiles)
        assert num_tiles(found) <= max(tiles, fewest(name))
        assert num_tiles(found) <= max(num_tiles(own), 1)


@pytest.mark.parametrize("name", TILED)
@settings(max_examples=40, deadline=None)
@given(size=sizes, place=places)
def test_as_many_tiles_as_wanted_change_nothing(name, size, place):
    with suppress(InputError):
        own = plan(name, size, place)
        assert plan(name, size, place, 1000) == own
        if name != "minicpm_v":  # asks for one less or one more, too, and may then have another choice
            assert plan(name, size, place, max(num_tiles(own), 1)) == own


@pytest.mark.parametrize("name", TILED)
def test_one_tile_after_another_is_left_out_of_a_large_picture(name):
    found = {num_tiles(plan(name, (2400, 1800), Place(), tiles)) for tiles in range(1, 40)}
    assert min(found) <= fewest(name)
    assert len(found) > 1


def test_a_family_that_needs_several_tiles_may_do_with_fewer():
    assert InternVLConfig(min_tiles=4, max_tiles=6).at_most(2) == InternVLConfig(min_tiles=2, max_tiles=2)


@pytest.mark.parametrize(("width", "height"), [(1600, 900), (900, 1600), (1000, 1000), (3000, 200)])
def test_longest_side_is_the_most_whole_tiles_that_are_few_enough(width, height):
    own = Idefics3Config(tile=364, patch=14, merge=2, longest=1456)
    tokens = PROFILES["idefics3"].tokens.by_role()
    counts = {}
    for cols in range(1, 5):
        single = own.model_copy(update={"longest": cols * 364}).plan(width, height, tokens)
        counts[max(1, num_tiles(single))] = single
    for tiles in range(1, 17):
        assert own.at_most(tiles).plan(width, height, tokens) == counts[max(n for n in counts if n <= tiles)]
