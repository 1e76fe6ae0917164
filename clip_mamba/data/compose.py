"""Put a cut-out object on a seeded background."""

import numpy as np
from PIL import Image

#: Least difference in brightness (of 1) between the object and its background.
CONTRAST = 0.25
#: Share of training backgrounds that are near white.
NEAR_WHITE = 0.5
#: Background of a held-out object that is itself nearly white.
GREY = 0.45
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def brightness(rgba: np.ndarray) -> float:
    """Return the mean brightness of the visible part.

    Args:
        rgba: (height, width, 4) in [0, 1].

    Returns:
        A number in [0, 1].
    """
    alpha = rgba[..., 3]
    return float((rgba[..., :3] @ _LUMA * alpha).sum() / max(alpha.sum(), 1e-6))


def background(rng: np.random.Generator, size: int, against: float) -> np.ndarray:
    """Draw a plain colour or a linear gradient that an object stands out from.

    Args:
        rng: The generator.
        size: Side in pixels.
        against: Brightness of the object.

    Returns:
        (size, size, 3) float32 in [0, 1].
    """
    for _ in range(20):
        ends = _colours(rng)
        gap = ends @ _LUMA - against
        # Both ends on one side: a gradient across the object's brightness would swallow part.
        if abs(np.sign(gap).sum()) == 2 and np.abs(gap).min() >= CONTRAST:
            break
    else:
        ends = np.full((2, 3), 1.0 if against < 0.5 else 0.0, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        ends[1] = ends[0]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    along = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    weight = ((along / (2 * np.sqrt(2))) + 0.5)[..., None].astype(np.float32)
    return ends[0] * (1 - weight) + ends[1] * weight


def _colours(rng: np.random.Generator) -> np.ndarray:
    # The two ends of a gradient: often near white, as pictures on the web are.
    if rng.random() < NEAR_WHITE:
        return rng.uniform(0.88, 1.0, (2, 3)).astype(np.float32)
    return rng.uniform(0.0, 1.0, (2, 3)).astype(np.float32)


def compose(
    image: Image.Image,
    rng: np.random.Generator,
    size: int,
    *,
    scale: tuple[float, float] = (0.65, 0.95),
) -> Image.Image:
    """Place an object at a random scale and position on a random background.

    Args:
        image: RGBA, the object filling the square.
        rng: The generator.
        size: Side of the result in pixels.
        scale: Range of the object's side as a share of the result's.

    Returns:
        RGB of ``size`` pixels.
    """
    side = max(1, round(size * rng.uniform(*scale)))
    rgba = _resized(image, side)
    left, top = rng.integers(0, size - side + 1, 2)
    return _blend(rgba, background(rng, size, brightness(rgba)), int(left), int(top))


def compose_plain(image: Image.Image, size: int, *, scale: float = 0.8) -> Image.Image:
    """Place an object in the middle of a white picture: what held-out pictures look like.

    Held-out pictures differ from training pictures in what they show or in how it is drawn;
    a random background would be a second difference and hide the first.

    Args:
        image: RGBA, the object filling the square.
        size: Side of the result in pixels.
        scale: The object's side as a share of the result's.

    Returns:
        RGB of ``size`` pixels; the background is grey where white would hide the object.
    """
    side = max(1, round(size * scale))
    rgba = _resized(image, side)
    shade = 1.0 if brightness(rgba) < 1 - CONTRAST / 2 else GREY
    canvas = np.full((size, size, 3), shade, dtype=np.float32)
    place = (size - side) // 2
    return _blend(rgba, canvas, place, place)


def _resized(image: Image.Image, side: int) -> np.ndarray:
    # Premultiplied, or the colour of invisible pixels would bleed into the edges.
    small = image.convert("RGBa").resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small.convert("RGBA"), dtype=np.float32) / 255


def _blend(rgba: np.ndarray, canvas: np.ndarray, left: int, top: int) -> Image.Image:
    side, alpha = len(rgba), rgba[..., 3:]
    patch = canvas[top : top + side, left : left + side]
    patch[:] = rgba[..., :3] * alpha + patch * (1 - alpha)
    return Image.fromarray((canvas * 255 + 0.5).astype(np.uint8))
