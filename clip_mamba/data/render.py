"""Render drawings to square RGBA pictures, the object filling the square."""

import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from clip_mamba.data.concepts import read_member
from clip_mamba.data.drawings import STYLES, Drawing

#: Side of a rendered picture: enough for the 64 px OOD set and for 40 px training pictures.
SIDE = 64
#: Width at which SVGs are drawn; drawings leave margins, which are cropped before resizing.
DRAWN = 96
#: A drawing that covers less of its square than this came out blank.
MIN_COVER = 0.01


def to_png(image: Image.Image) -> bytes:
    """Encode a picture; the same picture gives the same bytes.

    Args:
        image: Any picture.

    Returns:
        PNG bytes.
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def render(drawing: Drawing) -> Image.Image | None:
    """Render one drawing, crop it to its ink and pad it to a square.

    Args:
        drawing: What to render.

    Returns:
        RGBA of ``SIDE`` pixels, or None if nothing visible came out.
    """
    if drawing.glyphs:
        image = _render_glyphs(drawing)
    elif drawing.picture:
        image = Image.open(io.BytesIO(drawing.picture)).convert("RGBA")
    else:
        image = _render_svg(drawing.svg)
    return None if image is None else fill_square(image)


def fill_square(image: Image.Image, side: int = SIDE) -> Image.Image | None:
    """Crop to the visible part, pad to a square and resize.

    Args:
        image: RGBA of any size.
        side: The side wanted.

    Returns:
        RGBA of ``side`` pixels, or None if the picture is blank.
    """
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox()
    if box is None:
        return None
    cropped = image.crop(box)
    longest = max(cropped.size)
    square = Image.new("RGBA", (longest, longest))
    square.paste(cropped, ((longest - cropped.width) // 2, (longest - cropped.height) // 2))
    # Premultiplied, or the colour of invisible pixels would bleed into the edges.
    resized = square.convert("RGBa").resize((side, side), Image.Resampling.LANCZOS).convert("RGBA")
    cover = np.asarray(resized.getchannel("A"), dtype=np.float32).mean() / 255
    return resized if cover >= MIN_COVER else None


def _render_svg(svg: str) -> Image.Image | None:
    import resvg_py

    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=DRAWN, skip_system_fonts=True)
    except ValueError:
        return None
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


@cache
def _font(archive: str, member: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        io.BytesIO(read_member(archive, member)), SIDE, layout_engine=ImageFont.Layout.RAQM
    )


def _render_glyphs(drawing: Drawing) -> Image.Image | None:
    font = _font(drawing.font, STYLES[drawing.style].folder)
    if font.getlength(drawing.glyphs) > 1.5 * SIDE:
        return None  # The font has no joint glyph for the sequence and would print a row of them.
    image = Image.new("RGBA", (3 * SIDE, 3 * SIDE))
    ImageDraw.Draw(image).text((SIDE // 2, SIDE // 2), drawing.glyphs, fill="black", font=font)
    return image


def _render_png(drawing: Drawing) -> bytes | None:
    image = render(drawing)
    return None if image is None else to_png(image)


def render_all(
    drawings: Iterable[Drawing], *, workers: int = 1, label: str = "render"
) -> Iterator[tuple[Drawing, bytes | None]]:
    """Render many drawings in order, over several processes, with a progress bar.

    Args:
        drawings: What to render.
        workers: Processes; 1 renders in this one.
        label: What the progress bar says.

    Yields:
        Each drawing with its PNG, or with None where nothing visible came out.
    """
    todo = list(drawings)
    bar = tqdm(total=len(todo), desc=label, unit="pictures", mininterval=1)
    with bar:
        if workers <= 1:
            results: Iterable[bytes | None] = map(_render_png, todo)
            for pair in zip(todo, results, strict=True):
                bar.update()
                yield pair
            return
        # Fork where possible: a fresh interpreter would first import torch with the package.
        context = get_context("fork" if os.name == "posix" else "spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for pair in zip(todo, pool.map(_render_png, todo, chunksize=64), strict=True):
                bar.update()
                yield pair
