"""Image towers; importing this package registers them in timm."""

from clip_mamba.models import simba, vit, vmamba

__all__ = ["simba", "vit", "vmamba"]
