"""The out-of-distribution stimuli: made from cut-out objects, stored, and shown."""

from clip_mamba.data.categories import CATEGORIES
from clip_mamba.stimuli.make import CODES, PER_CATEGORY, make_stimuli
from clip_mamba.stimuli.objects import Base, Composite, choose, compose, read_bases
from clip_mamba.stimuli.sheet import one_object
from clip_mamba.stimuli.store import Stimulus, read_stimuli, write_stimuli

__all__ = [
    "CATEGORIES",
    "CODES",
    "PER_CATEGORY",
    "Base",
    "Composite",
    "Stimulus",
    "choose",
    "compose",
    "make_stimuli",
    "one_object",
    "read_bases",
    "read_stimuli",
    "write_stimuli",
]
