"""Measure one pretrained model on its training distribution and write the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clip_mamba import create_model
from clip_mamba.data.normalize import Normalize
from clip_mamba.data.pairs import open_pairs
from clip_mamba.device import pick_device
from clip_mamba.files import sha256
from clip_mamba.hessian.batches import Drawn, Tokenizer, draw
from clip_mamba.hessian.findings import Settings
from clip_mamba.hessian.measure import Bench, measure
from clip_mamba.hessian.parts import Parts
from clip_mamba.hessian.study import by_batch_size, by_block, surfaces
from clip_mamba.parameters import count
from clip_mamba.recipe import Recipe
from clip_mamba.results import Result, Seed, library_versions
from clip_mamba.variants import architecture


def run(
    *,
    model_name: str,
    seed: Seed,
    scale: str,
    weights: str | Path,
    index: str | Path,
    recipe: dict[str, Any],
    batches: int,
    batch_size: int,
    settings: dict[str, Any],
    result: str | Path,
    sweep: Sequence[int] = (),
    blocks: int = 0,
    surface: dict[str, int] | None = None,
    folder: str | Path | None = None,
    code: str = "",
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Measure the Hessian of a model and write a result.

    The mini-batches are augmented training pairs, drawn from the corpus with seed 0 whatever
    the model's own seed: every model is measured on the same pictures and captions.

    Args:
        model_name: As in ``open_clip.list_models()``, or a variant (:mod:`clip_mamba.variants`).
        seed: The seed that the weights were pretrained with.
        scale: Written to the result.
        weights: Safetensors file.
        index: ``index.json`` of the training shards.
        recipe: The pretraining recipe's settings: augmentation, weight decay and its rule.
        batches: Number of mini-batches.
        batch_size: Pairs in each.
        settings: Further fields of :class:`clip_mamba.hessian.findings.Settings`.
        result: The JSON file to write.
        sweep: Other batch sizes, into which the same pairs are cut.
        blocks: Mini-batches for the block-restricted Hessians; 0 for none.
        surface: ``line`` and ``plane``, points of the loss surfaces; ``None`` for none.
        folder: Keeps finished pieces, from which a killed job goes on; ``None`` keeps nothing.
        code: Digest of the code: pieces made by other code are made anew.
        device: Where to compute; ``auto`` for a GPU if there is one.
        threads: Threads that torch may use.
    """
    torch.set_num_threads(threads)
    device = str(pick_device(device))
    torch.backends.cudnn.allow_tf32 = False  # ten bits of mantissa are too few to differentiate
    model, _, tokenizer = create_model(architecture(model_name), weights=weights)
    pretraining = Recipe.from_config(recipe)
    chosen = Settings(l2=pretraining.weight_decay, decay=pretraining.decay, **settings)
    swept = max([*sweep, batch_size]) if sweep else 0
    drawn = _draw(model, index, pretraining, max(batches * batch_size, swept))
    depends_on = {
        **{"weights": sha256(weights), "batches": drawn.digest, "batch_size": batch_size},
        **{"settings": vars(chosen), "surface": surface, "code": code, "device": device},
        "versions": library_versions(),
    }
    parts, cuts = Parts(folder, depends_on), _Cuts(model, drawn, tokenizer, swept)
    mini_batches = cuts(batch_size, batches * batch_size)
    report = measure(model, mini_batches, chosen, device=device, parts=parts)
    bench = Bench.of(model, device, parts)
    top = float(report.spectrum.largest[0, 0])
    extra = {
        "sweep": by_batch_size(bench, cuts, sweep, chosen),
        "blocks": by_block(bench, mini_batches[:blocks], chosen) if blocks else {},
        "surfaces": surfaces(bench, mini_batches[0], top, chosen, **surface) if surface else {},
    }
    image_parameters, text_parameters = count(model)
    Result(
        scale=scale,
        model=model_name,
        image_parameters=image_parameters,
        text_parameters=text_parameters,
        seed=seed,
        split="training pairs, augmented",
        weights_sha256=str(depends_on["weights"]),
        data_sha256=drawn.corpus,
        **report.result_fields(_with_seconds(drawn, extra)),
    ).write(result)


class _Cuts:
    """Cuts the drawn pairs into mini-batches for one model."""

    def __init__(self, model: Any, drawn: Drawn, tokenizer: Tokenizer, swept: int) -> None:
        expected = model.visual.preprocess_cfg
        self._normalize = Normalize(expected["mean"], expected["std"])
        self._drawn, self._tokenizer, self._swept = drawn, tokenizer, swept

    def __call__(self, size: int, pairs: int | None = None) -> list[Any]:
        pairs = self._swept if pairs is None else pairs
        return self._drawn.batches(size, self._tokenizer, self._normalize, pairs)


def _draw(model: Any, index: str | Path, recipe: Recipe, pairs: int) -> Drawn:
    size = model.visual.image_size
    augmentation: nn.Module = recipe.augmentation.transform(
        size[0] if isinstance(size, tuple) else size
    )
    return draw(open_pairs(index), pairs, augmentation)


def _with_seconds(drawn: Drawn, extra: dict[str, Any]) -> dict[str, Any]:
    asides = [*extra["sweep"], *extra["blocks"].values(), *extra["surfaces"].values()]
    pairs = {"numbers": drawn.numbers, "sha256": drawn.digest}
    return extra | {"pairs": pairs, "seconds": sum(aside["seconds"] for aside in asides)}
