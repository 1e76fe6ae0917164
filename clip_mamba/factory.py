"""One call from a model's name to the model, its preprocessing and its tokenizer."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from clip_mamba.checkpoints import load_into
from clip_mamba.models.simba import Init, Simba
from clip_mamba.registration import list_models
from clip_mamba.tokenizer import CutTokenizer, get_tokenizer

#: Of the evaluation images; resized on the shorter side, then cropped at the centre.
PREPROCESSING = {
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "interpolation": "bilinear",
    "resize_mode": "shortest",
}


def get_config(name: str) -> dict[str, Any]:
    """Return the open_clip configuration of a model.

    Args:
        name: A name of ``open_clip.list_models()``.

    Returns:
        A copy of the configuration.

    Raises:
        ValueError: If there is no such model; names the nearest.
    """
    known = open_clip.list_models()
    if name not in known:
        folded = {other.lower(): other for other in [*known, *list_models()]}
        near = difflib.get_close_matches(str(name).lower(), folded, n=1)
        hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
        raise ValueError(f"Unknown model {name!r}.{hint} Models: {', '.join(list_models())}.")
    return open_clip.get_model_config(name)


def create_model(
    name: str,
    *,
    image_size: int | None = None,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    init: Init | None = None,
) -> tuple[open_clip.CLIP, Callable[..., torch.Tensor], CutTokenizer]:
    """Create a CLIP model, its evaluation preprocessing and its tokenizer.

    Args:
        name: A name of ``open_clip.list_models()``, e.g. ``VMamba-S``.
        image_size: Side of the square input, if not the model's own.
        weights: A ``.safetensors`` file of this project, or None for a random initialisation.
        device: Where the model goes.
        init: How SiMBA's step sizes start, see :meth:`clip_mamba.models.simba.Simba.init_weights`;
            None for the model's own (``released``). Other families take None only.

    Returns:
        The model in evaluation mode, with open_clip's CLIP interface; a function from a PIL image
        to a tensor (3, size, size); a function from texts to ids, (n, context length).
    """
    text = get_config(name)["text_cfg"]
    with _without_random_warning():
        model = open_clip.create_model(
            name,
            force_image_size=image_size,
            force_preprocess_cfg=PREPROCESSING if name in list_models() else None,
        )
    _init_projection(model)
    if init is not None:
        _reinitialise(model, name, init)
    if weights is not None:
        load_into(model, weights)
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    tokenizer = get_tokenizer(text.get("vocab_size", 49408), text.get("context_length", 77))
    return model.to(device).eval(), preprocess, tokenizer


def _init_projection(model: nn.Module) -> None:
    """Start the image projection as CLIP does (std = width**-0.5) and not as nn.Linear does."""
    projection = getattr(getattr(model.visual, "head", None), "proj", None)
    if isinstance(projection, nn.Linear):
        nn.init.normal_(projection.weight, std=projection.in_features**-0.5)


def _reinitialise(model: nn.Module, name: str, init: Init) -> None:
    trunk = getattr(model.visual, "trunk", None)
    if not isinstance(trunk, Simba):
        raise ValueError(
            f"init={init!r} is a choice for SiMBA only; {name} has none. Leave it out."
        )
    trunk.init_weights(init)


@contextmanager
def _without_random_warning() -> Generator[None]:
    """Silence open_clip's warning that no weights were loaded: here that is asked for."""

    def keep(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    logger = logging.getLogger()
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
