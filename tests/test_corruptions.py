"""The distortions have the properties that their definitions state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clip_mamba import corruptions
from clip_mamba.corruptions import (
    CONDITIONS,
    LEVELS,
    NONPARAMETRIC,
    corrupt,
    pixel,
    shape,
    spectral,
)
from clip_mamba.corruptions import eidolon as eidolons
from clip_mamba.seeding import generator


def picture(*size, seed=0, low=0.0, high=1.0):
    values = np.random.default_rng(seed).random(size, dtype=np.float32)
    return low + (high - low) * values


def smooth(height=48, width=40):
    field = ndimage.gaussian_filter(picture(height, width, seed=3), 3)
    return ((field - field.min()) / np.ptp(field)).astype(np.float32)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_any_size_in_range_and_deterministic(condition):
    for height, width in [(7, 9), (32, 32), (33, 48)]:
        image = picture(height, width, 3)
        for level in LEVELS[condition]:
            first, second = (
                corrupt(image, condition, level, generator(5, "test"), texture=image[::-1])
                for _ in range(2)
            )
            turned = condition == "rotation" and level in {"90", "270"}
            assert first.shape == ((width, height, 3) if turned else (height, width, 3))
            assert first.dtype == np.float32
            assert first.min() >= 0
            assert first.max() <= 1
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_batches_and_untouched_input(condition):
    images = picture(3, 16, 16, 3)
    before = images.copy()
    level = LEVELS[condition][-1]
    done = corrupt(images, condition, level, generator(1), texture=images[::-1])
    assert done.shape == images.shape
    np.testing.assert_array_equal(images, before)
    done[:] = 0.5
    np.testing.assert_array_equal(images, before)
    if (
        condition not in {"phase-scrambling", "uniform-noise", "stylized"}
        and "eid" not in condition
    ):
        done = corrupt(images, condition, level, generator(1), texture=images[::-1])
        alone = corrupt(images[1], condition, level, generator(1), texture=images[::-1][1])
        np.testing.assert_allclose(done[1], alone, atol=2e-6)


def test_noise_depends_on_the_generator():
    image = picture(32, 32, 3)
    for condition, level in [
        ("uniform-noise", "0.2"), ("phase-scrambling", "90"), ("eidolonI", "4-10-10"),
        ("eidolonIII", "4-0-10"), ("stylized", "0"),
    ]:  # fmt: skip
        one, two = (corrupt(image, condition, level, generator(seed)) for seed in (1, 2))
        assert np.abs(one - two).mean() > 0.01, condition


def test_greyscale_uses_the_stated_weights():
    image = picture(20, 30, 3)
    stated = image.astype(np.float64) @ np.array([0.2125, 0.7154, 0.0721])
    done = corrupt(image, "colour", "bw", generator(0))
    np.testing.assert_allclose(done, np.repeat(stated[..., None], 3, -1), atol=2e-7)
    grey = np.repeat(picture(8, 8)[..., None], 3, -1)
    np.testing.assert_array_equal(corrupt(grey, "colour", "bw", generator(0)), grey)
    np.testing.assert_array_equal(corrupt(image, "colour", "cr", generator(0)), image)


@given(st.floats(0, 1, width=32))
@settings(max_examples=25, deadline=None)
def test_contrast_scales_deviations_from_mid_grey(level):
    grey = picture(12, 12)
    np.testing.assert_allclose(pixel.contrast(grey, level) - 0.5, level * (grey - 0.5), atol=1e-7)


def test_contrast_levels_in_either_spelling():
    image = picture(12, 12, 3)
    for spelling in ("c05", 0.05, "0.05"):
        done = corrupt(image, "contrast", spelling, generator(0))[..., 0]
        expected = 0.5 + 0.05 * (pixel.greyscale(image) - 0.5)
        np.testing.assert_allclose(done, expected, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("size", [(32, 32), (33, 21), (3, 1000)])
def test_blur_is_that_of_scipy(sigma, size):
    grey = picture(*size)
    expected = ndimage.gaussian_filter(
        grey.astype(np.float64), sigma, mode="constant", cval=spectral.BACKGROUND
    )
    np.testing.assert_allclose(spectral.gaussian_blur(grey, sigma), expected, atol=2e-6)


@pytest.mark.parametrize("sigma", ["0.4", "1.0", "3.0"])
def test_low_and_high_pass_reconstruct(sigma):
    image = picture(32, 32, 3, low=0.35, high=0.55)
    low = corrupt(image, "low-pass", sigma, generator(0))[..., 0]
    high = corrupt(image, "high-pass", sigma, generator(0))[..., 0]
    grey = pixel.greyscale(image)
    total = low + high
    np.testing.assert_allclose(total - total.mean(), grey - grey.mean(), atol=1e-6)
    assert high.mean() == pytest.approx(spectral.BACKGROUND, abs=1e-6)


def test_filters_without_effect():
    image = picture(16, 16, 3)
    grey = corrupt(image, "colour", "bw", generator(0))
    for condition, level in [
        ("low-pass", "0"), ("high-pass", "inf"), ("phase-scrambling", "0"),
        ("power-equalisation", "0"), ("rotation", "0"), ("contrast", "c100"), ("eidolonII", "0"),
    ]:  # fmt: skip
        assert corruptions.is_control(condition, level)
        np.testing.assert_array_equal(corrupt(image, condition, level, generator(0)), grey)


@pytest.mark.parametrize("size", [(16, 16), (15, 16), (16, 15), (15, 17)])
def test_phase_noise_keeps_amplitudes_and_stays_within_its_width(size):
    grey = picture(*size)
    before = np.fft.rfft2(grey.astype(np.float64))
    after = np.fft.rfft2(spectral.phase_noise(grey, 60, generator(0)).astype(np.float64))
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-4)
    turn = np.rad2deg(np.angle(after / before))
    assert np.abs(turn).max() <= 60.01
    assert np.abs(turn).mean() == pytest.approx(30, abs=4)


def test_power_equalisation_sets_amplitudes_and_keeps_phases():
    grey, other = picture(24, 18), picture(5, 24, 18, seed=1)
    target = corruptions.amplitude(other).mean(axis=0)
    before = np.fft.rfft2(grey.astype(np.float64))
    after = np.fft.rfft2(spectral.equalise_power(grey, target).astype(np.float64))
    np.testing.assert_allclose(np.abs(after), target, rtol=1e-3, atol=1e-3)
    turn = np.angle(after / before)
    np.testing.assert_allclose(turn, 0, atol=1e-3)


def test_natural_amplitude_has_the_stated_mean_and_deviation():
    for height, width in [(32, 32), (31, 45), (8, 8)]:
        done = spectral.equalise_power(picture(height, width))
        assert done.mean() == pytest.approx(spectral.BACKGROUND, abs=1e-5)
        assert done.std() == pytest.approx(0.2, abs=1e-5)
    np.testing.assert_allclose(
        spectral.equalise_power(np.zeros((8, 8), np.float32)).mean(), spectral.BACKGROUND
    )


def test_rotation_is_exact():
    image = picture(12, 17, 3)
    grey = corrupt(image, "rotation", "0", generator(0))
    for turns in (1, 2, 3):
        done = corrupt(image, "rotation", str(90 * turns), generator(0))
        np.testing.assert_array_equal(done, np.rot90(grey, turns))
        np.testing.assert_array_equal(
            corrupt(done, "rotation", 360 - 90 * turns, generator(0)), grey
        )


def test_opponent_colours_keep_luminance_and_greys_and_undo_themselves():
    image = picture(40, 40, 3, low=0.45, high=0.6)
    done = corrupt(image, "false-colour", "False", generator(0))
    weights = pixel._XYZ_FROM_RGB[1]
    light = [pixel.srgb_to_linear(x.astype(np.float64)) @ weights for x in (image, done)]
    np.testing.assert_allclose(light[0], light[1], atol=1e-6)
    np.testing.assert_allclose(
        corrupt(done, "false-colour", "False", generator(0)), image, atol=1e-5
    )
    grey = np.repeat(picture(8, 8)[..., None], 3, -1)
    np.testing.assert_allclose(
        corrupt(grey, "false-colour", "False", generator(0)), grey, atol=1e-5
    )
    red = np.full((1, 1, 3), 0.5, np.float32) + np.array([0.1, 0, 0], np.float32)
    changed = corrupt(red, "false-colour", "False", generator(0))[0, 0]
    assert changed[0] < changed[1]


@pytest.mark.parametrize("width", [0.03, 0.2, 0.35, 0.6, 0.9])
def test_uniform_noise_has_its_width_and_clips_no_more_than_it_must(width):
    grey = smooth(96, 96)
    clean = pixel.contrast(grey, 0.3)
    noise = pixel.uniform_noise(grey, width, generator(0)) - clean
    assert np.abs(noise).max() <= width + 1e-6
    # The picture lies in [0.35, 0.65]: noise is cut where it passes 0 or 1, and nowhere else.
    must = np.clip(width - (1 - clean), 0, None) + np.clip(width - clean, 0, None)
    clipped = np.mean((clean + noise <= 0) | (clean + noise >= 1))
    assert clipped == pytest.approx((must / (2 * width)).mean(), abs=0.02)
    if width <= 0.35:
        assert clipped < 0.001
        assert noise.std() == pytest.approx(width / np.sqrt(3), rel=0.02)
        assert abs(noise.mean()) < 0.02 * width


def test_eidolon_slices_add_up_and_reach_zero_is_the_identity():
    grey = picture(33, 40)
    planes = eidolons.slices(grey)
    assert len(planes) == len(eidolons.scales(33, 40))
    np.testing.assert_allclose(np.sum(planes, axis=0), grey, atol=2e-6)
    for coherence in (0, 0.3, 1):
        done = eidolons.eidolon(grey, 0, coherence, 10, generator(0))
        np.testing.assert_array_equal(done, grey)


def test_eidolon_scales_run_to_a_quarter_of_the_side():
    assert eidolons.scales(256, 256)[0] == pytest.approx(2**-0.5)
    assert eidolons.scales(256, 256)[-1] == pytest.approx(64)
    assert len(eidolons.scales(256, 256)) == 14
    assert eidolons.scales(32, 32)[-1] == pytest.approx(8)


@pytest.mark.parametrize("sigma", [0.7, 2.0, 6.0])
def test_eidolon_noise_is_blurred_and_of_unit_variance(sigma):
    fields = eidolons.unit_noise((6, 128, 96), sigma, generator(0))
    assert fields.shape == (2, 6, 128, 96)
    np.testing.assert_allclose(fields.mean(axis=(-2, -1)), 0, atol=1e-5)
    np.testing.assert_allclose(fields.std(axis=(-2, -1)), 1, atol=1e-5)
    # White noise under a Gaussian blur correlates as a Gaussian of sqrt(2) times the width.
    for lag in (1, 2, 4):
        for axis in (-2, -1):
            correlation = (fields * np.roll(fields, lag, axis)).mean()
            assert correlation == pytest.approx(np.exp(-(lag**2) / (4 * sigma**2)), abs=0.05)
    assert abs((fields[0] * fields[1]).mean()) < 0.15


def test_eidolon_displaces_more_with_reach_and_with_less_coherence():
    grey = smooth(64, 64)
    change = {
        (reach, coherence): np.abs(
            eidolons.eidolon(grey, reach, coherence, 4, generator(0)) - grey
        ).mean()
        for reach in (0.5, 2, 8)
        for coherence in (0, 1)
    }
    for coherence in (0, 1):
        assert change[0.5, coherence] < change[2, coherence] < change[8, coherence]
    flat = np.full((32, 32), 0.4, np.float32)
    np.testing.assert_allclose(eidolons.eidolon(flat, 5, 0.3, 4, generator(0)), 0.4, atol=1e-6)


def disc(size=32, radius=9):
    offset = np.arange(size) - size / 2 + 0.5
    return (np.hypot(offset[:, None], offset[None]) < radius).astype(np.float32)


def test_silhouette_shows_the_mask_and_only_it():
    mask = disc()
    image = np.concatenate([picture(32, 32, 3), mask[..., None]], axis=-1)
    done = corrupt(image, "silhouette", "0", generator(0))
    np.testing.assert_array_equal(done, np.repeat(1 - mask[..., None], 3, -1))


def test_silhouette_guesses_a_missing_mask():
    mask = disc()
    image = np.where(mask[..., None] > 0, np.float32([0.9, 0.2, 0.1]), np.float32([0.3, 0.5, 0.8]))
    done = corrupt(image.astype(np.float32), "silhouette", "0", generator(0))
    np.testing.assert_array_equal(done[..., 0], 1 - mask)
    assert corrupt(np.full((8, 8, 3), 0.5, np.float32), "silhouette", "0", generator(0)).min() == 1


def test_edges_run_along_the_outline_at_any_contrast():
    mask = disc(64, 20)
    outline = mask - ndimage.binary_erosion(mask)
    near = ndimage.binary_dilation(outline, iterations=2)
    for strength in (0.8, 0.05):
        grey = np.float32(0.1) + np.float32(strength) * mask
        lines = corrupt(np.repeat(grey[..., None], 3, -1), "edge", "0", generator(0))[..., 0] == 0
        assert lines.sum() > 60
        assert not (lines & ~near).any()
    flat = corrupt(np.full((16, 16, 3), 0.5, np.float32), "edge", "0", generator(0))
    assert flat.min() == 1


def test_sketch_is_white_paper_with_dark_lines_at_edges():
    mask = disc(64, 20)
    grey = 0.2 + 0.6 * mask
    done = corrupt(
        np.repeat(grey[..., None], 3, -1).astype(np.float32), "sketch", "0", generator(0)
    )[..., 0]
    assert done[0, 0] > 0.98
    assert done[32, 32] > 0.98
    assert done.min() < 0.5


def test_cue_conflict_keeps_the_mask():
    mask = disc()
    image, texture = picture(32, 32, 3), picture(32, 32, 3, seed=1)
    stacked = np.concatenate([image, mask[..., None]], axis=-1)
    done = corrupt(stacked, "cue-conflict", "0", generator(0), texture=texture)
    inside = mask > 0
    np.testing.assert_allclose(done[inside], texture[inside], atol=1e-6)
    np.testing.assert_array_equal(done[~inside], image[~inside])
    with pytest.raises(ValueError, match="texture="):
        corrupt(stacked, "cue-conflict", "0", generator(0))


def test_stylized_keeps_light_and_dark_but_not_the_colours():
    mask = disc()
    image = np.where(mask[..., None] > 0, np.float32(0.9), np.float32(0.1))
    image = np.repeat(image[..., :1], 3, -1)
    done = corrupt(image, "stylized", "0", generator(0))
    grey = pixel.greyscale(done)
    assert grey[mask > 0].mean() - grey[mask == 0].mean() > 0.3
    assert np.ptp(done, axis=-1).mean() > 0.1


def test_object_texture_is_a_crowd_of_the_object_and_nothing_else():
    mask = disc(64, 20)
    image = np.where(mask[..., None] > 0, np.float32([0.9, 0.1, 0.5]), np.float32(0))
    image[28:36, 28:36] = [0.1, 0.9, 0.5]
    plane = shape.object_texture(image.astype(np.float32), mask, 50, generator(0))
    assert plane.shape == (50, 50, 3)
    np.testing.assert_allclose(plane[..., 2], 0.5, atol=1e-5)
    assert ndimage.label(plane[..., 1] > 0.5)[1] >= 4
    other = shape.object_texture(image.astype(np.float32), mask, 50, generator(1))
    assert not np.array_equal(plane, other)
    tiny = shape.object_texture(image.astype(np.float32), np.zeros((64, 64)), 9, generator(0))
    assert tiny.shape == (9, 9, 3)


def test_published_levels_are_canonical():
    for condition, levels in LEVELS.items():
        for level in levels:
            assert corruptions.normalise_level(condition, level) == level
    for condition, levels in corruptions.EXCLUDED_LEVELS.items():
        assert set(levels) < set(LEVELS[condition])


@pytest.mark.parametrize(
    ("condition", "spelt", "canonical"),
    [
        ("high-pass", "1", "1.0"), ("high-pass", "3", "3.0"), ("uniform-noise", "0.10", "0.1"),
        ("uniform-noise", "0.00", "0.0"), ("false-colour", "true", "True"),
        ("contrast", "c5", "c05"),
        ("contrast", 0.3, "c30"),
        ("low-pass", "7.0", "7"), ("edge", "NaN", "0"),
        ("rotation", 90, "90"), ("eidolonI", "8.0-10-10", "8-10-10"), ("contrast", "c100", "c100"),
    ],
)  # fmt: skip
def test_spellings_of_levels(condition, spelt, canonical):
    assert corruptions.normalise_level(condition, spelt) == canonical


@pytest.mark.parametrize(
    ("condition", "level"),
    [
        ("contrast", "c200"), ("contrast", "x"), ("high-pass", "0"), ("low-pass", "-1"),
        ("rotation", "45"), ("eidolonI", "8-3-10"), ("eidolonIII", "1-0"), ("colour", "blue"),
        ("low-pass", "inf"), ("uniform-noise", "nan"), ("eidolonII", "1-3-0"),
    ],
)  # fmt: skip
def test_levels_out_of_range_are_refused(condition, level):
    with pytest.raises(ValueError, match=f"not a level of '{condition}'"):
        corrupt(picture(8, 8, 3), condition, level, generator(0))


@pytest.mark.parametrize(
    ("name", "near"),
    [("contrst", "contrast"), ("high_pass", "high-pass"), ("eidolon1", "eidolon"), ("x", "known")],
)
def test_unknown_conditions_name_the_nearest(name, near):
    with pytest.raises(ValueError, match=near):
        corrupt(picture(8, 8, 3), name, "0", generator(0))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8)), "must be"),
        (np.zeros((8, 8, 2)), "must be"),
        (np.zeros((0, 8, 3)), "must be"),
        (np.zeros((8, 8, 3), np.uint8), "divide by 255"),
        (np.full((8, 8, 3), 2.0), "from 2 to 2"),
        (np.full((8, 8, 3), np.nan), "nan"),
    ],
)
def test_what_is_not_a_picture_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        corrupt(image, "contrast", "c05", generator(0))


def test_no_condition_is_forgotten():
    assert len(CONDITIONS) == 17
    assert set(LEVELS) == set(CONDITIONS)
    assert CONDITIONS[-1] == "cue-conflict"
    assert set(NONPARAMETRIC) < set(CONDITIONS)
