"""Pretraining speed: ours against the straightforward loops, on the demo's models and pictures.

Run ``OMP_NUM_THREADS=1 python benchmarks/pretrain.py`` from the repository's root, after the demo
has made its shards. One process on one core; every contender gets the same pairs a step, and they
take turns, so that a busy machine slows all of them. It prints Markdown tables:

- the data alone;
- ViT-Nano against a loop as open_clip trains (webdataset, Pillow's decoding, torchvision's
  transforms and tokenising in the loop, AdamW, float32);
- VMamba-Nano and SiMBA-Nano against the same training with the step-by-step reference scan;
- beside each the share of the time spent waiting for data, and the share of the machine's own rate
  of matrix products.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from open_clip.loss import ClipLoss
from pytorch_lightning.callbacks import Callback

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip_mamba import create_model  # noqa: E402
from clip_mamba.data.augment import COLOUR  # noqa: E402
from clip_mamba.data.batches import Batches, Plan  # noqa: E402
from clip_mamba.data.normalize import Normalize  # noqa: E402
from clip_mamba.data.order import Order  # noqa: E402
from clip_mamba.data.pairs import open_pairs  # noqa: E402
from clip_mamba.data.shard_index import index_shards  # noqa: E402
from clip_mamba.data.streamed import StreamedSource  # noqa: E402
from clip_mamba.pretrain import open_source, pretrain  # noqa: E402
from clip_mamba.progress import LineProgress  # noqa: E402
from clip_mamba.recipe import Recipe, parameter_groups  # noqa: E402
from clip_mamba.training.running import Running  # noqa: E402
from clip_mamba.training.throughput import flops_per_pair  # noqa: E402

#: Wall-clock and processor seconds of the steps of a turn, and the share spent waiting for data.
Turn = tuple[float, float, float]
WARM_UP = 2


class Stopwatch(Callback):
    """Times the steps behind the warm-up."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.turn: Turn = (0.0, 0.0, 0.0)
        self.began = (0.0, 0.0, 0.0)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Note the time after the warm-up and after the last step."""
        progress = next(c for c in trainer.callbacks if isinstance(c, LineProgress))
        now = (time.perf_counter(), time.process_time(), progress.waited)
        if trainer.global_step == WARM_UP:
            self.began = now
        wall, cpu, waited = (n - b for n, b in zip(now, self.began, strict=True))
        self.turn = (wall, cpu, waited / wall if wall else 0.0)


def ours(name: str, index: Path, recipe: Recipe, steps: int, backend: str | None) -> Turn:
    """Train with the project's own code.

    Args:
        name: The model.
        index: The corpus.
        recipe: The recipe.
        steps: Steps behind the warm-up.
        backend: Of the scan; None for the fast one.

    Returns:
        What the steps took.
    """
    torch.manual_seed(0)
    model, _, tokenizer = create_model(name)
    for module in model.modules() if backend else ():
        if hasattr(module, "backend"):
            module.backend = backend
    source = _source(index, tokenizer, recipe)
    share = recipe.batch_size / len(Order(source.shard_sizes, 0))
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        pretrain(
            model,
            source,
            replace(recipe, epochs=(steps + WARM_UP) * share * 1.001, warmup_epochs=0),
            image_size=32,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            seed=0,
            folder=folder,
            running=Running(checkpoint_seconds=None),
            extra=[watch],
            name=name,
        )
    return watch.turn


_SOURCES: dict[Path, Any] = {}


def _source(index: Path, tokenizer: Any, recipe: Recipe) -> Any:
    if index not in _SOURCES:  # decoded and tokenised once a run, hence not counted
        _SOURCES[index] = open_source(index, tokenizer, recipe, 32)[0]
    return _SOURCES[index]


def straightforward(name: str, index: Path, recipe: Recipe, steps: int) -> Turn:
    """Train as open_clip does, without what makes ours fast.

    Args:
        name: The model.
        index: The corpus.
        recipe: The recipe.
        steps: Steps behind the warm-up.

    Returns:
        What the steps took.
    """
    torch.manual_seed(0)
    model, _, tokenizer = create_model(name)
    model.train()
    groups = parameter_groups(model, recipe.weight_decay, recipe.decay)
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps)
    loss, normalize, began, waited = ClipLoss(), Normalize((0.5,) * 3, (0.5,) * 3), (0.0, 0.0), 0.0
    batches = webdataset_batches(index, recipe, tokenizer)
    for step in range(steps + WARM_UP):
        if step == WARM_UP:
            began, waited = (time.perf_counter(), time.process_time()), 0.0
        asked = time.perf_counter()
        images, tokens = next(batches)
        waited += time.perf_counter() - asked
        optimizer.zero_grad()
        image, text, scale = model(normalize(images), tokens)
        loss(image, text, scale).backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    return wall, cpu, waited / wall


def webdataset_batches(index: Path, recipe: Recipe, tokenizer: Any) -> Iterator[Any]:
    """Yield batches by webdataset's pipeline, as open_clip's own loader is built.

    Args:
        index: The corpus.
        recipe: The recipe.
        tokenizer: From strings to ids.

    Yields:
        Images (n, 3, 32, 32) and token ids.
    """
    import random

    import webdataset

    table = json.loads(index.read_text())
    urls = [str(index.parent / shard["name"]) for shard in table["shards"]]
    transform = recipe.augmentation.transform(32)
    pipeline = (
        webdataset
        .WebDataset(urls, shardshuffle=len(urls), seed=0)
        .shuffle(1000)
        .decode("pilrgb")
        .to_tuple("png", "json")
        .map_tuple(transform, lambda facts: tokenizer([random.choice(facts["captions"])])[0])
        .batched(recipe.batch_size, partial=False)
    )
    while True:
        for images, tokens in pipeline:
            yield torch.as_tensor(images), torch.as_tensor(tokens)


def matmul_rate(dtype: torch.dtype, side: int = 1024) -> float:
    """Measure the machine's rate of matrix products, the best of several.

    Args:
        dtype: Type of the matrices.
        side: Their side.

    Returns:
        FLOP/s.
    """
    a = torch.randn(side, side).to(dtype)
    best = min(_seconds(lambda: a @ a) for _ in range(12))
    return 2 * side**3 / best


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def data_alone(index: Path, recipe: Recipe) -> None:
    """Print what the loaders do when nobody trains.

    Args:
        index: The corpus.
        recipe: The recipe.
    """
    _, _, tokenizer = create_model("ViT-Nano")
    cached, pairs = _source(index, tokenizer, recipe), open_pairs(index)
    streamed = StreamedSource(pairs, tokenizer, recipe.augmentation, 32)
    recolour = recipe.augmentation.recolour(32)
    contenders: dict[str, Callable[[int], Any]] = {}
    for name, source in (("in memory", cached), ("from shards", streamed)):
        plan = Plan(Order(source.shard_sizes, 0), recipe.batch_size, 1, 0)
        contenders[name] = Batches(plan, source).__getitem__
    batch = contenders["in memory"](0)
    contenders["colours (in the training step)"] = lambda _: recolour(batch.images, batch.draws)
    loop = webdataset_batches(index, recipe, tokenizer)
    contenders["webdataset, Pillow, torchvision"] = lambda _: next(loop)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(12):
        for name, run in contenders.items():
            seconds[name].append(_seconds(lambda run=run, turn=turn: run(turn)))
    assert batch.draws.shape[1] == COLOUR.stop - COLOUR.start
    print("| data alone | pairs/s | ms a batch |\n|---|--:|--:|")
    for name, found in seconds.items():
        median = statistics.median(found[2:])
        print(f"| {name} | {recipe.batch_size / median:,.0f} | {1e3 * median:.1f} |")


def report(rows: dict[str, list[Turn]], pairs: int, flops: float, rates: dict[str, float]) -> None:
    """Print the rows of one model.

    Args:
        rows: Turns of each contender, ours first.
        pairs: Pairs of a turn.
        flops: FLOPs of a pair.
        rates: FLOP/s of matrix products by contender.
    """
    best = next(iter(rows.values()))
    fastest = [statistics.median(pairs / turn[i] for turn in best) for i in (0, 1)]
    for name, turns in rows.items():
        wall, cpu = (statistics.median(pairs / turn[i] for turn in turns) for i in (0, 1))
        waiting = statistics.median(turn[2] for turn in turns)
        spread = [pairs / turn[0] for turn in turns]
        print(
            f"| {name} | {wall:,.0f} ({min(spread):,.0f}-{max(spread):,.0f}) | {cpu:,.0f} | "
            f"{fastest[0] / wall:.1f} | {fastest[1] / cpu:.1f} | {100 * waiting:.1f} % | "
            f"{100 * flops * cpu / rates[name]:.0f} % |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, default=Path("results/demo/data/emoji/train"))
    parser.add_argument("--models", nargs="+", default=["ViT-Nano", "VMamba-Nano", "SiMBA-Nano"])
    parser.add_argument("--steps", type=int, default=12, help="in each turn")
    parser.add_argument("--slow-steps", type=int, default=3, help="with the reference scan")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="the core that all run on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {arguments.core})
    settings = yaml.safe_load(Path("config.yaml").read_text())["recipes"]["demo"]["settings"]
    recipe = Recipe.from_config(settings)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.json"
        index_shards(sorted(arguments.shards.glob("*.tar")), index, kind="webdataset")
        rates = {"bf16": matmul_rate(torch.bfloat16), "fp32": matmul_rate(torch.float32)}
        print(f"Matrix products: {rates['bf16'] / 1e9:.0f} GFLOP/s in bfloat16, ", end="")
        print(f"{rates['fp32'] / 1e9:.0f} in float32; load {os.getloadavg()[0]:.1f}.\n")
        data_alone(index, recipe)
        print(
            "\n| training | pairs/s (range) | pairs per processor second | ours is faster by "
            "| by processor time | waiting for data | of matrix products |\n"
            "|---|--:|--:|--:|--:|--:|--:|"
        )
        for name in arguments.models:
            compare(name, index, recipe, rates, arguments)


def compare(
    name: str, index: Path, recipe: Recipe, rates: dict[str, float], arguments: argparse.Namespace
) -> None:
    """Let the contenders of one model take turns.

    Args:
        name: The model.
        index: The corpus.
        recipe: The recipe.
        rates: Measured rates of matrix products by type.
        arguments: Of the command line.
    """
    fast, slow = f"{name}, ours", f"{name}, straightforward loop"
    if not name.startswith("ViT"):
        slow = f"{name}, reference scan"
    rows: dict[str, list[Turn]] = {fast: [], slow: []}
    pairs = recipe.batch_size * arguments.steps
    for _ in range(arguments.turns):
        rows[fast].append(ours(name, index, recipe, arguments.steps, None))
        if name.startswith("ViT"):
            rows[slow].append(straightforward(name, index, recipe, arguments.steps))
        else:
            turn = ours(name, index, recipe, arguments.slow_steps, "reference")
            factor = arguments.steps / arguments.slow_steps
            rows[slow].append((turn[0] * factor, turn[1] * factor, turn[2]))
    flops = flops_per_pair(create_model(name)[0], 32)
    report(
        rows, pairs, flops, {fast: rates["bf16"], slow: rates["fp32" if "loop" in slow else "bf16"]}
    )


if __name__ == "__main__":
    main()
