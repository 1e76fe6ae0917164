"""What an entry of ``recipes`` says of one model; the workflow reads it without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def complete(recipes: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return an entry of ``recipes`` with what it takes from the one that it is ``like``.

    Args:
        recipes: The section of the configuration.
        name: The entry.

    Returns:
        ``settings``, ``reasons`` and ``models``.
    """
    section = recipes[name]
    base = complete(recipes, section["like"]) if "like" in section else {}
    return {
        "settings": _merged(base.get("settings", {}), section["settings"]),
        "reasons": {**base.get("reasons", {}), **section["reasons"]},
        "models": {**base.get("models", {}), **section.get("models", {})},
    }


def resolve(section: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return what a recipe means for one model.

    Args:
        section: From :func:`complete`: ``settings`` for all models, and ``models``, settings that
            differ for some.
        model: The model's name.

    Returns:
        Settings for :meth:`Recipe.from_config`.
    """
    return _merged(section["settings"], section["models"].get(model, {}))


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**common, **own}
    if "augmentation" in common and "augmentation" in own:
        merged["augmentation"] = {**common["augmentation"], **own["augmentation"]}
    return merged
