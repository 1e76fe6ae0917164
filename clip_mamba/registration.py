"""Registration in timm and open_clip, without importing either before it is needed.

Importing open_clip takes seconds, and many small jobs of the workflow import this package only to
read a file. So the registration waits until timm or open_clip is imported, by whomever, and then
runs at the end of that import. To the user the names are simply there.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

#: open_clip model configurations; a file's stem is the model's name.
CONFIGS = Path(__file__).parent / "models" / "configs"


def list_models() -> list[str]:
    """Return the names of this project's models, without open_clip's others."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def _register_in_timm() -> None:
    import clip_mamba.models  # noqa: F401 - which registers them


def _register_in_open_clip() -> None:
    # Two of the names (ViT-B-16, ViT-L-16) are open_clip's too. From here on they mean this
    # project's baselines, the towers of the report; open_clip's weights for them no longer fit.
    _register_in_timm()
    sys.modules["open_clip"].add_model_config(CONFIGS)


class _AfterImport(MetaPathFinder):
    """Run an action when a module has been imported; the import itself is left to others."""

    def __init__(self, actions: dict[str, Callable[[], None]]) -> None:
        self._actions = actions
        self._searching: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find the module as usual, and have its loader run the action at the end.

        Args:
            fullname: The module.
            path: Not used: only top-level modules are watched.
            target: Not used.

        Returns:
            The usual specification, or None for a module that is not watched.
        """
        if fullname not in self._actions or fullname in self._searching:
            return None
        self._searching.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)  # asks every finder, this one says None
        finally:
            self._searching.discard(fullname)
        if spec is not None and spec.loader is not None:
            execute, action = spec.loader.exec_module, self._actions[fullname]

            def execute_then_act(module: ModuleType) -> None:
                execute(module)
                action()

            spec.loader.exec_module = execute_then_act  # type: ignore[method-assign]
        return spec


def register() -> None:
    """Register the models, at once where timm or open_clip is loaded, else when it will be."""
    actions = {"timm": _register_in_timm, "open_clip": _register_in_open_clip}
    for name, action in actions.items():
        if name in sys.modules:
            action()
    waiting = {name: action for name, action in actions.items() if name not in sys.modules}
    if waiting:
        sys.meta_path.insert(0, _AfterImport(waiting))
