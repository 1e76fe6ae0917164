"""What an entry of ``recipes`` says of one model; the workflow reads it without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resolve(section: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return what an entry of ``recipes`` means for one model.

    Args:
        section: The entry: ``settings`` for all models, and perhaps ``models``, settings that
            differ for some.
        model: The model's name.

    Returns:
        Settings for :meth:`Recipe.from_config`.
    """
    common, own = dict(section["settings"]), dict(section.get("models", {}).get(model, {}))
    if "augmentation" in common and "augmentation" in own:
        own["augmentation"] = {**common["augmentation"], **own["augmentation"]}
    return {**common, **own}
