"""The batched augmentation does to each picture what torchvision does to one."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from clip_mamba.data import colour
from clip_mamba.data.augment import ATTEMPTS, COLOUR, CROP, RATIOS, Augmentation, draw_table
from clip_mamba.data.resize import crop_resize

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (24, 3, 37, 41), np.uint8))


@pytest.mark.parametrize("size", [16, 37, 50])
def test_crops_are_pillows(size):
    boxes = Augmentation(min_scale=0.1).boxes(
        draw_table(0, 0, 24), np.full(24, 37), np.full(24, 41)
    )
    ours = crop_resize(PICTURES, boxes, size).int()
    for picture, box, result in zip(PICTURES, boxes, ours, strict=True):
        pil = F.resized_crop(F.to_pil_image(picture), *box.tolist(), [size, size])
        difference = (result - F.pil_to_tensor(pil).int()).abs()
        # Pillow rounds its weights, and each of two passes rounds to whole numbers.
        assert difference.max() <= 2 and difference.float().mean() < 0.5


def test_boxes_are_distributed_as_torchvisions():
    augmentation, n = Augmentation(min_scale=0.3), 4000
    ours = augmentation.boxes(draw_table(0, 0, n), np.full(n, 60), np.full(n, 90))
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(8, scale=(0.3, 1.0), ratio=RATIOS)
    image = torch.zeros(3, 60, 90)
    found = [crop.make_params([image]) for _ in range(n)]
    theirs = np.array([[p["top"], p["left"], p["height"], p["width"]] for p in found])
    assert (ours[:, 0] + ours[:, 2] <= 60).all() and (ours[:, 1] + ours[:, 3] <= 90).all()
    spread = theirs.std(0) / np.sqrt(n)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 6 * spread).all()
    assert np.allclose(ours.std(0), theirs.std(0), rtol=0.06)


@pytest.mark.parametrize(("height", "width"), [(5, 4000), (4000, 5), (1, 1)])
def test_a_picture_that_no_crop_fits_is_cropped_at_its_centre(height, width):
    draws = draw_table(0, 0, 3)
    boxes = Augmentation().boxes(draws, np.full(3, height), np.full(3, width))
    for top, left, h, w in boxes:
        assert 0 < h <= height and 0 < w <= width
        assert abs(2 * top + h - height) <= 1 and abs(2 * left + w - width) <= 1
        assert RATIOS[0] - 0.3 <= w / h <= RATIOS[1] + 0.1


FACTORS = torch.full((24, 1, 1, 1), 0.7)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colour._brighten, lambda x: F.adjust_brightness(x, 0.7)),
        (lambda x, f: colour._brighten(x, 2 * f), lambda x: F.adjust_brightness(x, 1.4)),
        (colour._contrast, lambda x: F.adjust_contrast(x, 0.7)),
        (colour._saturate, lambda x: F.adjust_saturation(x, 0.7)),
        (lambda x, f: colour._saturate(x, 2 * f), lambda x: F.adjust_saturation(x, 1.4)),
        (lambda x, f: colour._shift_hue(x, f - 0.8), lambda x: F.adjust_hue(x, -0.1)),
        (lambda x, f: colour._shift_hue(x, f - 0.4), lambda x: F.adjust_hue(x, 0.3)),
        (colour._grey3, lambda x: F.rgb_to_grayscale(x, 3)),
        (colour._solarise, lambda x: F.solarize(x, 128)),
    ],
)
def test_colours_change_as_torchvision_changes_them(ours, theirs):
    changed = ours(PICTURES.float(), FACTORS)
    assert (changed - theirs(PICTURES).float()).abs().max() <= 1


def test_the_blur_is_torchvisions():
    for sigma, kernel in ((0.4, 3), (1.7, 5)):
        weights = {
            side: colour.blur_matrix(side, kernel, torch.tensor([sigma])) for side in (37, 41)
        }
        blurred = weights[37][:, None] @ PICTURES.float() @ weights[41][:, None].mT
        expected = F.gaussian_blur(PICTURES.float(), [kernel] * 2, [sigma] * 2)
        torch.testing.assert_close(blurred, expected, atol=1e-3, rtol=0)


def test_a_row_depends_on_its_own_draws_alone():
    change = Augmentation(grayscale_probability=0.5, blur_probability=0.5).recolour(37)
    draws = draw_table(0, 0, 24)[:, COLOUR]
    whole = change(PICTURES, draws)
    half = change(PICTURES[12:], draws[12:])
    assert (whole[12:] - half).abs().max() <= 1e-3
    assert not torch.equal(whole, PICTURES.float())


def test_probabilities_are_kept():
    nothing = Augmentation(
        jitter_probability=0, grayscale_probability=0, blur_probability=0, solarize_probability=0
    )
    draws = draw_table(0, 0, 24)[:, COLOUR]
    assert torch.equal(nothing.recolour(37)(PICTURES, draws), PICTURES.float())
    grey = Augmentation(jitter_probability=0, blur_probability=0, solarize_probability=0)
    many = draw_table(1, 0, 2000)[:, COLOUR]
    pictures = (
        torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(2000, 3, 4, 4)
    )
    changed = grey.recolour(4)(pictures, many)
    share = (changed[:, 0] == changed[:, 1]).all((1, 2)).float().mean()
    assert abs(share - 0.2) < 0.04


def test_the_table_of_draws_depends_on_seed_and_step():
    one = draw_table(0, 5, 8)
    assert np.array_equal(one, draw_table(0, 5, 8))
    assert not np.array_equal(one, draw_table(0, 6, 8))
    assert not np.array_equal(one, draw_table(1, 5, 8))
    assert CROP.stop - CROP.start == 2 * ATTEMPTS + 2
    assert Image.MAX_IMAGE_PIXELS  # large pictures are refused, see test_pairs
