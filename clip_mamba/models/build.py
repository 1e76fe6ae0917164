"""A CLIP model of an open_clip configuration."""

from __future__ import annotations

from typing import Any

import open_clip


def build_clip(config: dict[str, Any]) -> Any:
    """Build a model of a configuration as open_clip does, without its weights.

    Args:
        config: From :func:`open_clip.get_model_config`.

    Returns:
        The model; on the meta device if that is torch's default.
    """
    config = dict(config)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    return kind(**config)
