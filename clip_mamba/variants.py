"""Models that a study pretrains once more by another recipe are named MODEL@VARIANT."""

from __future__ import annotations

_MARK = "@"


def named(model: str, variant: str) -> str:
    """Return the name under which results of a variant are kept.

    Args:
        model: A model's name, as in ``open_clip.list_models()``.
        variant: The variant's name; empty for the study's own recipe.

    Returns:
        For example ``ViT-B-16@as-published``.
    """
    return f"{model}{_MARK}{variant}" if variant else model


def architecture(model: str) -> str:
    """Return the model that is to be built.

    Args:
        model: A name as in results.

    Returns:
        A name as in ``open_clip.list_models()``.
    """
    return model.partition(_MARK)[0]


def variant(model: str) -> str:
    """Return by which variant a model was pretrained.

    Args:
        model: A name as in results.

    Returns:
        The variant's name; empty for the study's own recipe.
    """
    return model.partition(_MARK)[2]
