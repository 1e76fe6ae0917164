"""The model that is evaluated, with all that a result says of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from open_clip import CLIP
from torch import Tensor

from clip_mamba.classifier import ClassifierCache
from clip_mamba.features import ImageEncoder
from clip_mamba.files import sha256
from clip_mamba.parameters import count
from clip_mamba.results import Result, Seed

Kind = Literal["zeroshot", "retrieval", "linear-probe"]


@dataclass(frozen=True)
class Subject:
    """A model with its weights, on its device."""

    name: str
    seed: Seed
    scale: str
    weights_sha256: str
    model: CLIP
    preprocess: Callable[[Any], Tensor]
    tokenizer: Callable[[list[str]], Tensor]
    classifiers: ClassifierCache
    device: torch.device
    threads: int
    batch_size: int = 128

    def encoder(self, encode: Callable[[Tensor], Tensor]) -> ImageEncoder:
        """Return an encoder that feeds a function of this model from tars.

        Args:
            encode: (n, 3, height, width) to (n, width).

        Returns:
            The encoder.
        """
        return ImageEncoder(
            encode,
            self.preprocess,
            device=self.device,
            batch_size=self.batch_size,
            workers=self.threads,
        )

    def fields(self, started: float) -> dict[str, Any]:
        """Return the fields of a result that describe model and run.

        Args:
            started: ``time.monotonic()`` when the measurement began.

        Returns:
            Fields of :class:`Result`.
        """
        image_parameters, text_parameters = count(self.model)
        return {
            "scale": self.scale,
            "model": self.name,
            "seed": self.seed,
            "image_parameters": image_parameters,
            "text_parameters": text_parameters,
            "weights_sha256": self.weights_sha256,
            "device": self.device.type,
            "seconds": time.monotonic() - started,
        }


def unmeasured(kind: Kind, absent: Mapping[str, Any], **fields: Any) -> Result:
    """Return a result without a value, for a task that could not be measured.

    Args:
        kind: What would have been measured.
        absent: From :func:`missing`: name and reason, and what else is known of the task.
        **fields: The fields of :class:`Result` that describe model and run.

    Returns:
        The result, with the reason.
    """
    return Result(
        kind=kind,
        task=absent["name"],
        split=absent.get("split") or "none",
        examples=0,
        metric=absent.get("metric") or "none",
        value=None,
        reason=absent["missing"],
        details={"title": absent.get("title") or absent["name"]},
        data_sha256=absent.get("sha256") or "",
        **fields,
    )


def missing(folder: str | Path, file: str = "task.json") -> dict[str, Any] | None:
    """Return what is known of a task whose data are absent.

    Args:
        folder: The task's folder.
        file: The file that describes it.

    Returns:
        At least ``name`` and the reason as ``missing``; ``None`` if the data are there.

    Raises:
        ValueError: If the folder has no such file.
    """
    path = Path(folder) / file
    if not path.is_file():
        raise ValueError(f"{path} is missing. Build the task again.")
    facts = json.loads(path.read_text())
    return {"name": Path(folder).name} | facts if facts.get("missing") else None


def open_subject(
    name: str,
    seed: Seed,
    scale: str,
    weights: str | Path,
    *,
    threads: int = 1,
    device: str = "auto",
    cache: str | Path | None = None,
    code: str = "",
    batch_size: int = 128,
) -> Subject:
    """Load a model for evaluation.

    Args:
        name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with, or where they are from.
        scale: Written to results.
        weights: Safetensors file.
        threads: Threads that torch may use, and that decode pictures.
        device: Where to compute; ``auto`` for the GPU if there is one.
        cache: Folder in which text classifiers are kept; ``None`` for none.
        code: Digest of the code that the classifiers depend on.
        batch_size: Pictures encoded at once.

    Returns:
        The model, in evaluation mode.
    """
    from clip_mamba import create_model

    torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model, preprocess, tokenizer = create_model(name, weights=weights, device=device)
    digest = sha256(weights)
    classifiers = ClassifierCache(
        model, tokenizer, folder=cache, identity=f"{name} {digest} {code} {torch.__version__}"
    )
    return Subject(
        name=name,
        seed=seed,
        scale=scale,
        weights_sha256=digest,
        model=model,
        preprocess=preprocess,
        tokenizer=tokenizer,
        classifiers=classifiers,
        device=torch.device(device),
        threads=threads,
        batch_size=batch_size,
    )
