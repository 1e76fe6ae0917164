import numpy as np
import pytest
from PIL import Image

from clip_mamba.data.compose import CONTRAST, background, brightness, compose, compose_plain
from clip_mamba.data.render import fill_square
from clip_mamba.seeding import generator


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("against", [0.0, 0.5, 1.0])
def test_background_stands_out_from_the_object(seed, against):
    canvas = background(generator(seed, "background"), 40, against)
    assert canvas.shape == (40, 40, 3) and 0 <= canvas.min() <= canvas.max() <= 1
    shades = canvas[[0, 0, -1, -1], [0, -1, 0, -1]] @ np.array([0.299, 0.587, 0.114])
    assert abs(shades.mean() - against) > CONTRAST / 2


def test_object_is_jittered_but_whole():
    red = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    sizes, places = set(), set()
    for seed in range(20):
        pixels = np.asarray(compose(red, generator(seed, "compose"), 40)).astype(int)
        mask = (pixels == [255, 0, 0]).all(axis=2)
        rows, columns = np.nonzero(mask)
        assert mask.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        sizes.add(np.ptp(rows) + 1)
        places.add((rows.min(), columns.min()))
    assert min(sizes) >= 26 and max(sizes) <= 38 and len(sizes) > 3 and len(places) > 10


@pytest.mark.parametrize(("shade", "expected"), [(0, 255), (200, 255), (250, 115)])
def test_plain_background_is_white_unless_it_would_hide_the_object(shade, expected):
    picture = Image.new("RGBA", (64, 64), (shade, shade, shade, 255))
    pixels = np.asarray(compose_plain(picture, 40))
    assert (pixels[0] == expected).all() and (pixels[20, 20] == shade).all()


def test_invisible_colour_neither_counts_nor_bleeds():
    rgba = np.zeros((64, 64, 4), dtype=np.uint8)
    rgba[..., 0] = 255
    rgba[16:48, 16:48] = (0, 0, 0, 255)
    assert brightness(rgba / 255) == 0
    pixels = np.asarray(compose_plain(Image.fromarray(rgba), 40)).astype(int)
    assert np.abs(pixels - pixels[..., :1]).max() == 0


def test_fill_square_crops_pads_and_refuses_blank():
    wide = Image.new("RGBA", (100, 100))
    wide.paste((0, 0, 255, 255), (10, 40, 90, 60))
    square = np.asarray(fill_square(wide))
    assert square.shape == (64, 64, 4) and square[32, 1, 3] > 200 and square[2, 32, 3] == 0
    assert fill_square(Image.new("RGBA", (10, 10))) is None
