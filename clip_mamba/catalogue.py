"""Which models there are, this project's and open_clip's, without importing torch or open_clip."""

from __future__ import annotations

import difflib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from clip_mamba.registration import CONFIGS, list_models

#: Ids of CLIP's own tokenizer (clip_mamba/tokenizer.py).
_VOCABULARY = 49408


@cache
def config_files() -> dict[str, Path]:
    """Return the configurations of all models that can be pretrained and measured.

    Of open_clip's are left out those with a text tower or a tokenizer of Hugging Face's and the
    captioners: their texts are not those of CLIP's tokenizer.

    Returns:
        Names to files: this project's, then open_clip's.
    """
    ours = {path.stem: path for path in sorted(CONFIGS.glob("*.json"))}
    spec = importlib.util.find_spec("open_clip")
    folder = Path(spec.origin).parent / "model_configs" if spec and spec.origin else None
    theirs = sorted(folder.glob("*.json")) if folder else []
    return {**ours, **{p.stem: p for p in theirs if p.stem not in ours and _speaks_clip(p)}}


def find_model(name: str) -> str:
    """Return a model's name if there is such a model, or say which was meant.

    Args:
        name: What was written.

    Returns:
        The same name.

    Raises:
        ValueError: If there is none; names the nearest.
    """
    known = config_files()
    if name in known:
        return name
    folded = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    shown = ", ".join(list_models())
    raise ValueError(f"unknown model {name!r}; {hint}known: {shown}, and open_clip's")


def read_config(name: str) -> dict[str, Any]:
    """Return the configuration of a model of :func:`config_files`.

    Args:
        name: The model.

    Returns:
        What its file holds.

    Raises:
        ValueError: If it is no configuration of open_clip's; names the file.
    """
    path = config_files()[name]
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in found]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    return found


def _speaks_clip(path: Path) -> bool:
    config = json.loads(path.read_text())
    text = config["text_cfg"]
    foreign = "hf_model_name" in text or "hf_tokenizer_name" in text or "multimodal_cfg" in config
    return not foreign and text.get("vocab_size", _VOCABULARY) <= _VOCABULARY
