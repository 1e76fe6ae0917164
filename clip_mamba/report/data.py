"""What the report says of the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clip_mamba.tables import cells


def corpus(path: str | Path | None) -> dict[str, Any] | None:
    """Return what the prose says of the corpus.

    Args:
        path: ``index.json`` of the training shards.

    Returns:
        The context; ``None`` if there is no such file.
    """
    if path is None or not Path(path).is_file():
        return None
    index = json.loads(Path(path).read_text())
    held_out = index.get("held_out", {})
    return {
        "pairs": cells.count(index.get("pairs")),
        "concepts": cells.count(index.get("concepts")),
        "styles": cells.count(len(index.get("styles", ()))),
        "held_out_concepts": cells.count(len(held_out.get("concepts", ()))),
        "held_out_styles": held_out.get("styles", []),
        "sha256": index.get("sha256", ""),
    }
