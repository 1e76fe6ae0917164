"""One object in all conditions and levels, for a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from clip_mamba.corruptions import CONDITIONS
from clip_mamba.stimuli.store import Stimulus, read_stimuli


def one_object(
    stimuli_tars: Mapping[str, str | Path], *, category: str = "bird", side: int = 112
) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Return the pictures of one object in all conditions and levels.

    Args:
        stimuli_tars: Condition to set.
        category: The object's category, if the sets have it.
        side: Larger pictures are reduced to this width and height in pixels.

    Returns:
        Condition to (height, width, 3) uint8 pictures, each with its level.
    """
    order = sorted(stimuli_tars, key=[*CONDITIONS, *stimuli_tars].index)
    return {
        name: [(_pixels(each, side), each.level) for each in _levels(stimuli_tars[name], category)]
        for name in order
    }


def _levels(path: str | Path, category: str) -> list[Stimulus]:
    """Return the stimuli of a set, one per level, that show its first object of a category."""
    stimuli = read_stimuli(path)
    wanted = [stimulus for stimulus in stimuli if stimulus.category == category] or stimuli
    shown: dict[str, Stimulus] = {}
    for stimulus in wanted:
        shown.setdefault(stimulus.level, stimulus)
    return list(shown.values())


def _pixels(stimulus: Stimulus, side: int) -> np.ndarray:
    image = stimulus.image
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)
