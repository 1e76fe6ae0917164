"""CLIP-pretrained Mamba models, evaluated out of distribution and by their Hessian.

After ``import clip_mamba`` timm and open_clip know the models. torch and open_clip are loaded when
``create_model`` is first used, not before.
"""

from typing import TYPE_CHECKING, Any

from clip_mamba.registration import list_models, register

if TYPE_CHECKING:
    from clip_mamba.factory import create_model

__version__ = "0.1.0"
__all__ = ["__version__", "create_model", "list_models"]

register()


def __getattr__(name: str) -> Any:
    if name == "create_model":
        from clip_mamba.factory import create_model

        return create_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
