"""The model that is evaluated, with all that a result says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from open_clip import CLIP
from torch import Tensor

from clip_mamba.classifier import ClassifierCache
from clip_mamba.device import pick_device
from clip_mamba.features import ImageEncoder
from clip_mamba.files import atomic_write, sha256
from clip_mamba.parameters import count
from clip_mamba.results import Result, Seed
from clip_mamba.variants import architecture

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

    def measure_all(
        self,
        measure: Callable[[Path], tuple[Result, pd.DataFrame]],
        folders: Sequence[str | Path],
        results: Sequence[str | Path],
        tables: Sequence[str | Path],
        describe: Callable[[Result], str],
    ) -> None:
        """Measure set after set, and keep each before the next begins.

        Args:
            measure: From a set's folder to its result and a row per example or query.
            folders: The sets.
            results: The JSON file to write for each.
            tables: The parquet file to write for each.
            describe: What to print of a value.
        """
        for folder, result, table in zip(folders, results, tables, strict=True):
            found, frame = measure(Path(folder))
            with atomic_write(table) as temporary:
                frame.to_parquet(temporary, index=False, compression="zstd")
            found.write(result)
            shown = found.reason or describe(found)
            print(f"{self.name}-{self.seed} {found.task}: {shown}", flush=True)


def unmeasured(kind: Kind, absent: Mapping[str, Any], **fields: Any) -> Result:
    """Return a result without a value, for a task that could not be measured.

    Args:
        kind: What would have been measured.
        absent: From :func:`clip_mamba.data.described.missing`: name and reason, and what else is
            known of the task.
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
        name: As in ``open_clip.list_models()``, or a variant (:mod:`clip_mamba.variants`).
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
    place = pick_device(device)
    model, preprocess, tokenizer = create_model(
        architecture(name), weights=weights, device=str(place)
    )
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
        device=place,
        threads=threads,
        batch_size=batch_size,
    )
