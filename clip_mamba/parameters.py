"""Parameter counts of a CLIP model's two towers."""

from typing import Any


def count(model: Any) -> tuple[int, int]:
    """Count the parameters of the image tower and of the rest.

    Args:
        model: A CLIP model of open_clip's interface (``visual`` is the image tower).

    Returns:
        Image tower with its projection, and text tower with its projection; the logit scale
        belongs to neither.
    """
    image = sum(p.numel() for p in model.visual.parameters())
    scalars = sum(p.numel() for n, p in model.named_parameters() if n.startswith("logit_"))
    return image, sum(p.numel() for p in model.parameters()) - image - scalars
