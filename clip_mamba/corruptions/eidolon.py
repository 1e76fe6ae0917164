"""Eidolons: pictures whose details are displaced, scale by scale.

Koenderink, Valsecchi, van Doorn, Wagemans & Gegenfurtner, "Eidolons: Novel stimuli for vision
research", Journal of Vision 17(2):7, 2017; used as in Geirhos et al. 2018 ("partially coherent
disarray"). The picture is cut into slices of scale space (differences of Gaussians, sigma from
1/sqrt(2) pixels to a quarter of the side by factors of sqrt(2)) that add up to it. Each slice
is displaced by a random field, and the displaced slices are added again.

Symbols: K slices with sigma_k; d_k displacement of slice k in pixels,
``d_k = reach * (coherence * c_k + (1 - coherence) * i_k)``, where i_k is Gaussian noise of unit
variance blurred by ``grain``, drawn anew for each slice, and c_k is the sum over the slices
j >= k of unit noise blurred by sigma_j and scaled by sigma_j / sigma_K: coarse structure drags
the fine one along.

Departures from the original Python programme: the finest slice also holds what is finer than
1/sqrt(2) pixels, so that reach 0 is the identity; noise has unit variance (there it is not
normalised); and coherence mixes c_k with i_k as the papers describe it (near 1 keeps local
structure, near 0 destroys it), where that programme adds coherence * i_k to c_k. The reach of a
published stimulus and of one made here are therefore alike in kind, not calibrated.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from clip_mamba.corruptions.pixel import Array


def scales(height: int, width: int) -> list[float]:
    """Return the standard deviations of the scale space.

    Args:
        height: Rows of the picture.
        width: Columns of the picture.

    Returns:
        From 1/sqrt(2) to a quarter of the longer side in steps of sqrt(2), at least two.
    """
    count = int(np.floor(2 * np.log2(max(height, width) / 4) + 1.0)) + 1
    return [2 ** ((k - 1) / 2) for k in range(max(count, 2))]


def _transfer(sigma: float, height: int, width: int) -> Array:
    """Return the Gaussian's factor for each cosine of a (height, width) picture."""
    down = np.exp(-0.5 * (sigma * np.pi * np.arange(height) / height) ** 2)
    across = np.exp(-0.5 * (sigma * np.pi * np.arange(width) / width) ** 2)
    return np.outer(down, across).astype(np.float32)


def slices(grey: Array) -> list[Array]:
    """Cut a picture into slices of scale space that add up to it.

    Args:
        grey: (..., height, width).

    Returns:
        One plane like ``grey`` per scale, finest first. The cosine transform mirrors the
        picture at its border.
    """
    height, width = grey.shape[-2:]
    spectrum = fft.dctn(grey, axes=(-2, -1))
    finer: Array | np.float32 = np.float32(1)
    planes = []
    sigmas = scales(height, width)
    for sigma in sigmas[1:]:
        coarser = _transfer(sigma, height, width)
        planes.append(fft.idctn(spectrum * (finer - coarser), axes=(-2, -1), overwrite_x=True))
        finer = coarser
    planes.append(fft.idctn(spectrum * finer, axes=(-2, -1), overwrite_x=True))
    return planes


def unit_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Array:
    """Draw two planes of blurred Gaussian noise with mean 0 and variance 1.

    Args:
        shape: (..., height, width).
        sigma: Standard deviation of the blur in pixels (periodic at the border), at most half
            the longer side: beyond it nothing but the mean would be left.
        rng: The source of the noise.

    Returns:
        (2, ..., height, width).
    """
    height, width = shape[-2:]
    sigma = min(sigma, max(height, width) / 2)
    # White noise has a white spectrum: drawing the spectrum saves the forward transform.
    # Frequencies that the blur suppresses below 1e-4 are not drawn if they are many.
    rows, columns = (int(np.ceil(4.3 * n / (2 * np.pi * sigma))) for n in (height, width))
    dense = 2 * rows + 1 > height // 3 or 2 * columns + 1 > width // 3
    waves_down = np.arange(-rows, rows + 1) / height if not dense else fft.fftfreq(height)
    waves_across = np.arange(-columns, columns + 1) / width if not dense else fft.fftfreq(width)
    power = np.add.outer(waves_down**2, waves_across**2)
    blur = np.exp(-0.5 * (2 * np.pi * sigma) ** 2 * power).astype(np.float32)
    drawn = rng.standard_normal((*shape[:-2], *blur.shape, 2), dtype=np.float32)
    spectrum = drawn.view(np.complex64)[..., 0]
    spectrum *= blur
    if dense:
        field = fft.ifft2(spectrum, overwrite_x=True)
        fields = np.stack([field.real, field.imag])
    else:
        fields = _synthesise(spectrum, height, width)
    fields -= fields.mean(axis=(-2, -1), keepdims=True)
    deviation = fields.std(axis=(-2, -1), keepdims=True)
    fields /= np.maximum(deviation, np.finfo(np.float32).tiny)
    return fields


def _synthesise(spectrum: np.ndarray, height: int, width: int) -> Array:
    """Return real and imaginary part of the sum of (..., 2 rows + 1, 2 columns + 1) waves."""
    rows, columns = spectrum.shape[-2] // 2, spectrum.shape[-1] // 2
    down = np.arange(height)[:, None] * np.arange(-rows, rows + 1)[None, :]
    across = np.arange(-columns, columns + 1)[:, None] * np.arange(width)[None, :]
    # Two small products cost less than a transform of mostly zeros.
    waves_down = np.exp(2j * np.pi / height * down).astype(np.complex64)
    waves_across = np.exp(2j * np.pi / width * across).astype(np.complex64)
    field = waves_down @ (spectrum @ waves_across)
    return np.stack([field.real, field.imag])


def _displace(plane: Array, shift: Array) -> Array:
    """Return (..., height, width) with each pixel fetched from where its (2, ..., h, w) points."""
    height, width = plane.shape[-2:]
    rows = np.rint(shift[0]).astype(np.int32)
    rows += np.arange(height, dtype=np.int32)[:, None]
    np.clip(rows, 0, height - 1, out=rows)
    columns = np.rint(shift[1]).astype(np.int32)
    columns += np.arange(width, dtype=np.int32)[None, :]
    np.clip(columns, 0, width - 1, out=columns)
    rows *= width
    rows += columns
    flat = plane.reshape(*plane.shape[:-2], height * width)
    index = rows.reshape(flat.shape)
    return np.take_along_axis(flat, index, axis=-1).reshape(plane.shape)


def eidolon(
    grey: Array, reach: float, coherence: float, grain: float, rng: np.random.Generator
) -> Array:
    """Displace the slices of a picture's scale space at random.

    Args:
        grey: (..., height, width).
        reach: Standard deviation of the displacements in pixels; 0 keeps the picture.
        coherence: 1 for displacements that fine scales inherit from coarse ones (the picture
            looks seen through water), 0 for independent ones (the scales fall apart).
        grain: Blur of the independent displacements in pixels.
        rng: The source of the displacements.

    Returns:
        (..., height, width), not clipped.
    """
    if reach == 0:
        return grey.copy()
    sigmas = scales(*grey.shape[-2:])
    coherent = np.zeros((2, *grey.shape), dtype=np.float32)
    result = np.zeros_like(grey)
    for plane, sigma in zip(reversed(slices(grey)), reversed(sigmas), strict=True):
        shift = np.zeros((2, *grey.shape), dtype=np.float32)
        if coherence > 0:
            coherent += np.float32(sigma / sigmas[-1]) * unit_noise(grey.shape, sigma, rng)
            shift += np.float32(reach * coherence) * coherent
        if coherence < 1:
            shift += np.float32(reach * (1 - coherence)) * unit_noise(grey.shape, grain, rng)
        result += _displace(plane, shift)
    return result
