"""What the report says of how the models are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip_mamba import style
from clip_mamba.tables import cells


def architectures(models: Sequence[str]) -> dict[str, Any]:
    """Return the shapes of the models' towers, counted from the models themselves.

    Args:
        models: Names as in ``open_clip.list_models()``.

    Returns:
        ``rows``, one per image tower in timm's form, and ``text``, the text towers that they share.
    """
    from clip_mamba.factory import get_config
    from clip_mamba.models.summary import summarise

    known = [name for name in style.ordered(models) if "timm_model_name" in _vision(name)]
    texts = {tuple(sorted(get_config(name)["text_cfg"].items())) for name in known}
    return {
        "rows": [_row(summarise(name)) for name in known],
        "text": dict(texts.pop()) if len(texts) == 1 else None,
    }


def _vision(name: str) -> dict[str, Any]:
    from clip_mamba.factory import get_config

    return get_config(name)["vision_cfg"]


def _row(summary: Any) -> dict[str, Any]:
    return {
        "model": summary.name,
        "image_size": summary.image_size,
        "depths": "-".join(map(str, summary.depths)),
        "widths": "-".join(map(str, summary.widths)),
        "state": cells.count(summary.state),
        "parameters": cells.millions(summary.image_parameters),
        "gmacs": cells.significant(summary.gflops),
    }
