"""One picture that shows an object in all conditions and levels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from clip_mamba.corruptions import CONDITIONS, NONPARAMETRIC
from clip_mamba.files import atomic_write
from clip_mamba.stimuli.store import Stimulus, read_stimuli


def contact_sheet(
    stimuli_tars: Mapping[str, str | Path],
    out_png: str | Path | None = None,
    *,
    category: str = "bird",
    cell: int = 72,
) -> Image.Image:
    """Show one object in all conditions and levels.

    Args:
        stimuli_tars: Condition to set.
        out_png: Where to write the picture, if anywhere.
        category: The object's category, if the sets have it.
        cell: Side of each stimulus in the picture, in pixels.

    Returns:
        The picture: two columns of conditions, a row each, its levels from left to right.
    """
    order = sorted(stimuli_tars, key=[*CONDITIONS, *stimuli_tars].index)
    rows = [(name, _one_object(stimuli_tars[name], category)) for name in order]
    wide = max(len(stimuli) for _, stimuli in rows)
    half = -(-len(rows) // 2)
    label, gap = round(2.6 * cell), 18
    block = label + wide * (cell + 4)
    sheet = Image.new("RGB", (2 * block, half * (cell + gap + 6)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (condition, stimuli) in enumerate(rows):
        left, top = (index // half) * block, (index % half) * (cell + gap + 6)
        draw.text(
            (left + 4, top + gap + cell / 2), condition, fill="black", anchor="lm", font_size=20
        )
        for i, stimulus in enumerate(stimuli):
            x = left + label + i * (cell + 4)
            picture = stimulus.image.resize((cell, cell), Image.Resampling.BICUBIC)
            sheet.paste(picture, (x, top + gap))
            if condition not in NONPARAMETRIC:
                text = stimulus.level
            else:
                text = "" if stimulus.texture is None else stimulus.texture
            draw.text((x + cell / 2, top + gap - 2), text, fill="black", anchor="mb", font_size=15)
    if out_png is not None:
        with atomic_write(out_png) as temporary:
            sheet.save(temporary, "PNG")
    return sheet


def _one_object(path: str | Path, category: str) -> list[Stimulus]:
    """Return the stimuli of a set, one per level, that show its first object of a category."""
    stimuli = read_stimuli(path)
    wanted = [stimulus for stimulus in stimuli if stimulus.category == category] or stimuli
    shown: dict[str, Stimulus] = {}
    for stimulus in wanted:
        shown.setdefault(stimulus.level, stimulus)
    return list(shown.values())
