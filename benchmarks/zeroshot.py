"""Zero-shot evaluation against CLIP_benchmark: wall time, and whether all predictions agree.

``pip install --no-deps --target FOLDER clip-benchmark==1.6.2`` somewhere outside the environment,
then, from the repository's root, ``python benchmarks/zeroshot.py --peer FOLDER``.

Six tasks are made of the demo's training pictures, one style each, as JPEG, in the layout of
CLIP_benchmark's webdatasets; our tasks hold the same bytes. Each measurement is a fresh process
from its start to its end: once with one task, once with all six, the two codes in turn. The
peer's side calls its own ``build_dataset``, ``zero_shot_classifier`` and ``run_classification``,
and creates the model for every task, as its command does; without that command's import of
transformers. Both sides: float32, the same weights, batch, threads and decoding workers. Ours
also computes intervals and writes results.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STYLES = ("noto", "twemoji", "openmoji", "fxemoji", "emojione", "streamline-emojis")
TEMPLATES = ("a picture of {}", "an image of {}", "a drawing of {}", "an icon of {}")


def main() -> None:
    """Measure both sides, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="folder that holds clip_benchmark")
    parser.add_argument("--model", default="ViT-Nano")
    parser.add_argument("--weights", default="results/demo/weights/ViT-Nano-0.safetensors")
    parser.add_argument("--images", type=int, default=600, help="pictures of a task")
    parser.add_argument("--side-pixels", type=int, default=200, help="side of the JPEG pictures")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--tasks", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if arguments.side:
        {"ours": ours, "theirs": theirs}[arguments.side](arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = folder
        arguments.weights = _weights(arguments)
        tasks = build(arguments)
        compare(arguments, tasks)


def _weights(arguments: argparse.Namespace) -> str:
    """Return the weights; random ones are stored, so that both sides have the same."""
    if Path(arguments.weights).is_file() and arguments.model in Path(arguments.weights).name:
        return arguments.weights
    import torch

    from clip_mamba import create_model
    from clip_mamba.checkpoints import save_weights

    torch.manual_seed(0)
    path = Path(arguments.folder) / f"{arguments.model}.safetensors"
    save_weights(path, create_model(arguments.model)[0], {"model": arguments.model})
    return str(path)


def build(arguments: argparse.Namespace) -> list[str]:
    """Write every task in both layouts.

    Args:
        arguments: Of the command line.

    Returns:
        The tasks' names.
    """
    from clip_mamba.data.concepts import category_names
    from clip_mamba.data.tasks import write_task

    index = ROOT / "results/demo/data/emoji/train/index.json"
    found: dict[str, list[Any]] = {style: [] for style in STYLES}
    for key, facts, jpeg in _pictures(index, arguments):
        found[facts["style"]].append((key, facts, jpeg))
    for number, (style, pictures) in enumerate(found.items()):
        # No two tasks share a classifier.
        level = ("group", "subgroup")[number % 2]
        names = {value: texts[0] for value, texts in category_names()[level].items()}
        templates = [f"{template}, {style}" for template in TEMPLATES]
        samples = [
            (key, {"jpg": jpeg, "cls": str(list(names).index(facts[level])).encode()})
            for key, facts, jpeg in pictures
        ]
        theirs_at = Path(arguments.folder) / "theirs" / style
        ours_at = Path(arguments.folder) / "ours" / style
        write_task(
            ours_at,
            samples,
            [int(files["cls"]) for _, files in samples],
            name=style,
            title=style,
            split="made for this benchmark",
            classes=[[name] for name in names.values()],
            templates=templates,
            neighbours_reason="a benchmark",
            licence="see data/sources.tsv",
            source=style,
        )
        (theirs_at / "test").mkdir(parents=True)
        (theirs_at / "test" / "nshards.txt").write_text("1")
        os.link(ours_at / "test.tar", theirs_at / "test" / "0.tar")
        (theirs_at / "classnames.txt").write_text("\n".join(names.values()))
        path = theirs_at / "zeroshot_classification_templates.txt"
        path.write_text("\n".join(template.replace("{}", "{c}") for template in templates))
        print(f"{style}: {len(samples)} pictures, {len(names)} classes", flush=True)
    return list(found)


def _pictures(index: Path, arguments: argparse.Namespace) -> Any:
    """Yield key, facts and JPEG of at most so many training pictures of each style."""
    from PIL import Image

    from clip_mamba.data.shards import decode, read_tar

    counts = dict.fromkeys(STYLES, 0)
    side = arguments.side_pixels
    for shard in json.loads(index.read_text())["shards"]:
        for key, files in read_tar(index.parent / shard["name"]):
            facts = json.loads(files["json"])
            if counts.get(facts["style"], arguments.images) >= arguments.images:
                continue
            counts[facts["style"]] += 1
            content = io.BytesIO()
            picture = decode(files["png"]).resize((side, side), Image.Resampling.BICUBIC)
            picture.save(content, "JPEG", quality=92)
            yield key, facts, content.getvalue()


def compare(arguments: argparse.Namespace, tasks: list[str]) -> None:
    """Time both sides in turn and print the ratios and the agreement.

    Args:
        arguments: Of the command line.
        tasks: The tasks' names.
    """
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for side in ("ours", "theirs"):  # fills the disk caches, and does not count
        _timed(arguments, side, tasks[:1])
    for number in range(arguments.rounds):
        for chosen in (tasks[:1], tasks):
            for side in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
                wall, cpu = _timed(arguments, side, chosen)
                times.setdefault((side, len(chosen)), []).append((wall, cpu))
                print(f"{side:6} {len(chosen)} tasks {wall:6.2f} s, CPU {cpu:6.2f} s", flush=True)
        if not number:
            agree = [agreement(arguments, task) for task in tasks]
            equal, count = (sum(part) for part in zip(*agree, strict=True))
            print(f"\nequal predictions: {equal} of {count}")
        print_table(times)  # after each round: what was measured counts if the rest is cut off


def print_table(times: dict[tuple[str, int], list[tuple[float, float]]]) -> None:
    """Print medians and ratios.

    Args:
        times: (side, number of tasks) to (wall, CPU) seconds of each round.
    """
    print("\n| tasks | | ours s | CLIP_benchmark s | ratio of medians | ratio, each round |")
    print("|--:|---|--:|--:|--:|---|")
    for count in sorted({count for _, count in times}):
        for place, what in enumerate(("wall", "CPU")):
            mine, other = ([t[place] for t in times[side, count]] for side in ("ours", "theirs"))
            each = ", ".join(f"{b / a:.2f}" for a, b in zip(mine, other, strict=True))
            ratio = statistics.median(other) / statistics.median(mine)
            medians = f"{statistics.median(mine):.2f} | {statistics.median(other):.2f}"
            print(f"| {count} | {what} | {medians} | {ratio:.2f} | {each} |", flush=True)


def _timed(arguments: argparse.Namespace, side: str, tasks: list[str]) -> tuple[float, float]:
    """Return the wall-clock and the CPU seconds of a process and its children."""
    command = [sys.executable, __file__, "--side", side, "--tasks", *tasks]
    for name in ("peer", "model", "weights", "batch", "folder"):
        command += [f"--{name}", str(getattr(arguments, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=ROOT)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def agreement(arguments: argparse.Namespace, task: str) -> tuple[int, int]:
    """Return how many predictions of a task are equal, and of how many.

    Args:
        arguments: Of the command line.
        task: Its name.

    Returns:
        Equal, all.
    """
    import pandas as pd

    folder = Path(arguments.folder)
    mine = pd.read_parquet(folder / f"ours-{task}.parquet")
    other = np.load(folder / f"theirs-{task}.npz")
    assert (mine["label"].to_numpy() == other["label"]).all()
    return int((mine["top1"].to_numpy() == other["prediction"]).sum()), len(mine)


def ours(arguments: argparse.Namespace) -> None:
    """Evaluate with this project; nothing is cached from an earlier process.

    Args:
        arguments: Of the command line.
    """
    from clip_mamba.zeroshot import run

    folder = Path(arguments.folder)
    run(
        model_name=arguments.model,
        seed=0,
        scale="demo",
        weights=arguments.weights,
        tasks=[folder / "ours" / task for task in arguments.tasks],
        results=[folder / f"ours-{task}.json" for task in arguments.tasks],
        predictions=[folder / f"ours-{task}.parquet" for task in arguments.tasks],
        threads=1,
        device="cpu",
        batch_size=arguments.batch,
    )


def theirs(arguments: argparse.Namespace) -> None:
    """Evaluate with CLIP_benchmark's functions, in the order of its command.

    Args:
        arguments: Of the command line.
    """
    sys.path.insert(0, arguments.peer)
    import torch
    from clip_benchmark.datasets.builder import build_dataset
    from clip_benchmark.metrics import zeroshot_classification as peer

    from clip_mamba import create_model

    torch.set_num_threads(1)
    for task in arguments.tasks:
        model, transform, tokenizer = create_model(arguments.model, weights=arguments.weights)
        root = str(Path(arguments.folder) / "theirs" / task)
        dataset = build_dataset(f"wds/{task}", root=root, transform=transform, split="test")
        loader = torch.utils.data.DataLoader(
            dataset.batched(arguments.batch), batch_size=None, shuffle=False, num_workers=1
        )
        classifier = peer.zero_shot_classifier(
            model, tokenizer, dataset.classes, dataset.templates, "cpu", amp=False
        )
        logits, target = peer.run_classification(model, classifier, loader, "cpu", amp=False)
        np.savez(
            Path(arguments.folder) / f"theirs-{task}.npz",
            prediction=logits.argmax(1).numpy(),
            label=target.numpy(),
        )


if __name__ == "__main__":
    main()
