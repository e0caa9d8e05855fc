"""Sharpness is exact, hangs on the picture and not on its copy's size, and falls when a picture is blurred."""

from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from operators.filters.blur import SIDE, Blur, sharpness
from tests.operators.filters.making import document, dropped, grey, image


def drawing(size=(600, 400)):
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for step in range(0, size[0], 40):
        draw.rectangle([step, step // 2, step + 20, step // 2 + 30], fill=(step % 256, 90, 40))
        draw.line([step, 0, size[0] - step, size[1]], fill="black", width=2)
    return picture


def test_sharpness_is_the_variance_of_the_laplacian():
    assert Blur.reason == "filter-blur"
    shades = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    s = shades.astype(float)
    edges = s[:-2, 1:-1] + s[2:, 1:-1] + s[1:-1, :-2] + s[1:-1, 2:] - 4 * s[1:-1, 1:-1]
    assert abs(float(sharpness(shades)) - edges.var()) < 1e-6
    assert sharpness(np.array([[9, 9, 9], [9, 8, 9], [9, 9, 9]], np.uint8)) == 0
    assert sharpness(np.eye(4, dtype=np.uint8) * 9) == Fraction(27**2)


def test_a_sharp_picture_stays_and_a_blurred_one_goes():
    sharp = drawing()
    blurred = [sharp.filter(ImageFilter.GaussianBlur(radius)) for radius in (6, 12)]
    parts = [image(grey=grey(picture)) for picture in (sharp, *blurred)]
    assert dropped(Blur(), *parts, "a text") == [1, 2]
    values = [sharpness(grey(picture)) for picture in (sharp, *blurred)]
    assert values == sorted(values, reverse=True)


def test_the_least_variance_itself_is_allowed():
    found = sharpness(np.eye(4, dtype=np.uint8) * 9)
    for least, gone in ((729, []), (729.001, [0])):
        assert dropped(Blur(min=least), image(grey=np.eye(4, dtype=np.uint8) * 9)) == gone
    assert float(found) == 729


def test_a_large_copy_is_judged_at_the_size_of_a_small_one():
    small = np.random.default_rng(1).integers(0, 256, (300, SIDE), np.uint8)
    assert sharpness(small.repeat(3, axis=0).repeat(3, axis=1)) == sharpness(small)


def test_what_cannot_be_judged_stays():
    assert dropped(Blur(), image(grey=None), image(grey=np.zeros((2, 90), np.uint8))) == []
    assert list(Blur().faults(document("only text"))) == []
