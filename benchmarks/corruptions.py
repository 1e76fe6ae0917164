"""Time the distortions against plain scipy and scikit-image code, one picture of 224 pixels.

Run with ``OMP_NUM_THREADS=1 python -m benchmarks.corruptions`` or, from anywhere,
``python benchmarks/corruptions.py``. The plain code is what the definitions say, written as one
would write it for one picture without thinking of speed; both get the same float32 picture.
Goal: twice as fast for what filters or transforms, no slower for the rest.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import fft, ndimage
from skimage import color, feature

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip_mamba.corruptions import corrupt, pixel, spectral  # noqa: E402
from clip_mamba.corruptions.eidolon import scales  # noqa: E402

SIDE = 224
Picture = np.ndarray


def stack(grey: Picture) -> Picture:
    """Return three equal channels, clipped."""
    return np.dstack([np.clip(grey, 0, 1)] * 3)


def blur(grey: Picture, sigma: float) -> Picture:
    """Return the blurred picture."""
    return ndimage.gaussian_filter(grey, sigma, mode="constant", cval=spectral.BACKGROUND)


def plain_contrast(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture at 10 % contrast."""
    return stack((1 - 0.1) / 2 + 0.1 * color.rgb2gray(image))


def plain_high_pass(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture without its low frequencies."""
    grey = color.rgb2gray(image)
    detail = grey - blur(grey, 1.5)
    return stack(detail + spectral.BACKGROUND - detail.mean())


def plain_low_pass(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the blurred picture."""
    return stack(blur(color.rgb2gray(image), 7))


def plain_phase(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture with phase noise of 90 degrees."""
    spectrum = fft.fftshift(fft.fft2(color.rgb2gray(image)))
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    flat = phase[1:, 1:].flatten()
    shift = np.deg2rad(90) * (2 * rng.random(len(flat) // 2) - 1)
    flat[: len(shift)] += shift
    flat[-len(shift) :] -= shift[::-1]
    phase[1:, 1:] = flat.reshape(phase[1:, 1:].shape)
    return stack(fft.ifft2(fft.ifftshift(amplitude * np.exp(1j * phase))).real)


def plain_power(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture with the amplitudes of 1/f noise."""
    spectrum = fft.fft2(color.rgb2gray(image))
    half = spectral.natural_amplitude(SIDE, SIDE)
    whole = np.concatenate([half, half[:, -2:0:-1]], axis=1)
    return stack(fft.ifft2(whole * np.exp(1j * np.angle(spectrum))).real)


def plain_opponent(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture in opponent colours."""
    light = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    light = np.clip(np.einsum("ij,klj->kli", pixel._OPPONENT, light), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def plain_rotation(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture turned by 90 degrees."""
    return stack(np.rot90(color.rgb2gray(image)))


def plain_noise(image: Picture, rng: np.random.Generator) -> Picture:
    """Return the picture in uniform noise."""
    grey = 0.35 + 0.3 * color.rgb2gray(image)
    return stack(grey + rng.uniform(-0.2, 0.2, grey.shape))


def plain_eidolon(coherence: float) -> Callable[[Picture, np.random.Generator], Picture]:
    """Return the distortion with reach 8 and grain 10.

    Returns:
        A function of a picture and a generator.
    """

    def noise(sigma: float, rng: np.random.Generator) -> Picture:
        field = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap")
        return (field - field.mean()) / field.std()

    def distort(image: Picture, rng: np.random.Generator) -> Picture:
        grey = color.rgb2gray(image)
        sigmas = scales(SIDE, SIDE)
        stages = [grey] + [ndimage.gaussian_filter(grey, s, mode="reflect") for s in sigmas[1:]]
        planes = [a - b for a, b in zip(stages, stages[1:], strict=False)] + [stages[-1]]
        drag = np.zeros((2, SIDE, SIDE))
        total = np.zeros((SIDE, SIDE))
        for plane, sigma in list(zip(planes, sigmas, strict=True))[::-1]:
            place = np.indices((SIDE, SIDE)).astype(float)
            if coherence > 0:
                drag += sigma / sigmas[-1] * np.stack([noise(sigma, rng) for _ in range(2)])
                place += 8 * coherence * drag
            if coherence < 1:
                own = np.stack([noise(10, rng) for _ in range(2)])
                place += 8 * (1 - coherence) * own
            rows, columns = np.clip(np.rint(place), 0, SIDE - 1).astype(int)
            total += plane[rows, columns]
        return stack(total)

    return distort


def plain_edge(image: Picture, rng: np.random.Generator) -> Picture:
    """Return Canny edges."""
    return stack(1.0 - feature.canny(color.rgb2gray(image), 1.0))


#: Condition, level, plain code, and how many times faster the goal is.
CASES: list[tuple[str, str, Callable[[Picture, np.random.Generator], Picture], float]] = [
    ("colour", "bw", lambda image, rng: stack(color.rgb2gray(image)), 1),
    ("contrast", "c10", plain_contrast, 1),
    ("high-pass", "1.5", plain_high_pass, 2),
    ("low-pass", "7", plain_low_pass, 2),
    ("phase-scrambling", "90", plain_phase, 2),
    ("power-equalisation", "pow", plain_power, 2),
    ("false-colour", "False", plain_opponent, 1),
    ("rotation", "90", plain_rotation, 1),
    ("eidolonI", "8-10-10", plain_eidolon(1.0), 2),
    ("eidolonII", "8-3-10", plain_eidolon(0.3), 2),
    ("eidolonIII", "8-0-10", plain_eidolon(0.0), 2),
    ("uniform-noise", "0.2", plain_noise, 1),
    ("edge", "0", plain_edge, 1),
]


def best(function: Callable[[], object], repeats: int) -> float:
    """Return the least time of a call in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> int:
    """Print the table.

    Returns:
        0 if every goal was met, else 1.
    """
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random((SIDE, SIDE, 3)), (3, 3, 0))
    image = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    met = True
    print(f"{'condition':20}{'level':>10}{'ours ms':>10}{'plain ms':>10}{'ratio':>8}{'goal':>6}")
    for condition, level, plain, goal in CASES:
        ours = spent = np.inf
        repeats = 3 if condition.startswith("eidolon") else 20
        for _ in range(3):  # interleaved, so that a busy moment hits both
            ours = min(
                ours,
                best(lambda: corrupt(image, condition, level, np.random.default_rng(0)), repeats),  # noqa: B023
            )
            spent = min(spent, best(lambda: plain(image, np.random.default_rng(0)), repeats))  # noqa: B023
        met &= spent / ours >= goal
        print(f"{condition:20}{level:>10}{ours:10.2f}{spent:10.2f}{spent / ours:8.1f}{goal:6g}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
