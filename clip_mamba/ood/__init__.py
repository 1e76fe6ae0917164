"""Out-of-distribution evaluation by the protocol of model-vs-human, for CLIP models.

:mod:`.decision` has how a model answers, :mod:`.protocol` its trials, :mod:`.metrics` and
:mod:`.benchmark` what follows from trials. torch is loaded when a model is first asked, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clip_mamba.corruptions import CONDITIONS, EXCLUDED_LEVELS, LEVELS, corrupt
from clip_mamba.data.categories import CATEGORIES
from clip_mamba.ood import benchmark, metrics, trials

if TYPE_CHECKING:
    from clip_mamba.ood.decision import Classifier, classifier, decide
    from clip_mamba.ood.protocol import evaluate, run
    from clip_mamba.ood.summary import summarise

__all__ = [
    "CATEGORIES",
    "CONDITIONS",
    "EXCLUDED_LEVELS",
    "LEVELS",
    "Classifier",
    "benchmark",
    "classifier",
    "corrupt",
    "decide",
    "evaluate",
    "metrics",
    "run",
    "summarise",
    "trials",
]

#: Public names of modules that need torch.
_HEAVY = {
    "Classifier": "decision",
    "classifier": "decision",
    "decide": "decision",
    "evaluate": "protocol",
    "run": "protocol",
    "summarise": "summary",
}


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        return getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
