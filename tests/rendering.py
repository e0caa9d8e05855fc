"""Renders a Pillow image into Pillow images, for tests that compare views with what Pillow makes."""

from operators.raster import picture_of, raster_of
from operators.slicing.render import render
from operators.slicing.resizing import resize_by_pillow


def rendered(picture, plan, resize=resize_by_pillow):
    """One RGB image per view of `plan`. picture: RGB."""
    return [picture_of(view) for view in render(raster_of(picture), plan, resize)]
