"""Made-up results in the workflow's formats, for tests of tables, figures and the report only."""

import itertools

import numpy as np
import pandas as pd

from clip_mamba.ood import metrics
from clip_mamba.ood import trials as trial_tables
from clip_mamba.results import Result
from clip_mamba.style import is_mamba

MODELS = {
    "ViT-Nano": 231_456,
    "ViT-Micro": 498_240,
    "VMamba-Nano": 240_112,
    "VMamba-Micro": 512_768,
    "SiMBA-Nano": 221_904,
}
TASKS = {
    "unseen-style-concept": 1578,
    "unseen-style-subgroup": 99,
    "unseen-style-group": 9,
    "unseen-concepts-concept": 246,
    "unseen-concepts-subgroup": 88,
    "unseen-concepts-group": 9,
    "mnist": 10,
}
LEVELS = {
    "colour": ["cr", "bw"],
    "contrast": ["c100", "c50", "c30", "c15", "c10", "c05"],
    "high-pass": ["inf", "3.0", "1.5", "1.0", "0.7", "0.5"],
    "eidolonII": ["0-3-2", "0.5-3-2", "1-3-2", "2-3-2", "4-3-2"],
    "sketch": ["0"],
    "cue-conflict": ["0"],
}
CONTROLS = {"colour": ["cr"], "contrast": ["c100"], "high-pass": ["inf"], "eidolonII": ["0-3-2"]}
CATEGORIES = ["airplane", "bear", "bicycle", "bird"]


def _result(model, seed, **fields):
    shared = {
        "scale": "demo",
        "model": model,
        "image_parameters": MODELS.get(model, 0),
        "text_parameters": 610_000 if model in MODELS else 0,
        "seed": seed,
        "data_sha256": "ab" * 32,
        "weights_sha256": "cd" * 32 if model in MODELS else None,
        "seconds": 83.2,
    }
    return Result(**(shared | fields))


def pretraining(model, seed, rng):
    steps = np.arange(0, 540, 3)
    loss = 4.85 * np.exp(-steps / 200) + 1.2 + 0.08 * rng.standard_normal(len(steps))
    history = [
        {"step": int(s), "loss": float(v), "lr": 1e-3, "logit_scale": 15.0}
        for s, v in zip(steps, loss, strict=True)
    ]
    return _result(
        model,
        seed,
        kind="pretrain",
        task="clip",
        split="train",
        examples=11_705,
        metric="training loss, mean over the last twentieth of the run",
        value=float(loss[-9:].mean()),
        details={
            "steps": 540,
            "pairs": 69_120,
            "pairs_per_second": 511.3,
            "corrupt_images": 0,
            "precision": "bf16-mixed",
            "threads": 1,
            "history": history,
        },
    )


def zero_shot(model, seed, task, rng):
    classes = TASKS[task]
    title = "MNIST" if task == "mnist" else task.replace("-", " ").capitalize()
    value = min(0.9, (12 + 20 * rng.random()) ** (0.5 + 0.2 * (classes > 50)) / classes**0.8)
    shared = {
        "kind": "zeroshot",
        "task": task,
        "split": "held-out concepts in the training styles",
        "metric": "top1",
        "details": {
            "title": title,
            "classes": classes,
            "chance": 1 / classes,
            "majority": 1.4 / classes,
            "corrupt_images": 0,
        },
    }
    if model == "pixel-1nn" and task in {"mnist", "unseen-concepts-concept"}:
        reason = "no training sample carries a digit's class"
        return _result(model, seed, **shared, examples=0, value=None, reason=reason)
    return _result(
        model,
        seed,
        **shared,
        examples=1578,
        value=value,
        interval=(0.93 * value, 1.08 * value),
        interval_method="percentile bootstrap, 1000 resamples of depicted concepts",
    )


def predictions(results, root, examples=200):
    """Keep predictions that score the results' values, as evaluations do; return the files."""
    paths = []
    for result in results:
        if result.kind != "zeroshot" or result.value is None or result.model == "pixel-1nn":
            continue
        rng = np.random.default_rng([len(result.model), len(result.task), int(result.seed)])
        right = rng.permutation(examples) < round(result.value * examples)
        table = {"label": np.arange(examples) % 10, "score": right.astype(np.float32)}
        if result.task.startswith("unseen-"):
            # Every concept is drawn twice; the tasks on a split share its pictures.
            split = result.task.rpartition("-")[0]
            table["unit"] = [f"{split} {number // 2}" for number in range(examples)]
        path = root / f"{result.model}-{result.seed}" / f"{result.task}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(table).to_parquet(path)
        paths.append(path)
    return paths


def out_of_distribution(model, seed, condition, rng):
    excluded = CONTROLS.get(condition, [])
    table = trials(model, seed, condition)
    levels = []
    for level in LEVELS[condition]:
        accuracy = metrics.accuracy(table[table["condition"] == level])
        entry = {"level": level, "examples": 48, "accuracy": accuracy}
        levels.append(entry | {"interval": [accuracy - 0.04, accuracy + 0.04]})
    value = metrics.accuracy(table[~table["condition"].isin(excluded)])
    details = {"levels": levels, "excluded_levels": excluded, "chance": 1 / 16}
    details |= {"decision": "16 category names"}
    details["categories"] = {name: {"examples": 80, "objects": 12} for name in CATEGORIES}
    if condition == "cue-conflict":
        bias = 0.3 + 0.3 * rng.random()
        details["cue_conflict"] = cues(bias) | {"interval": [bias - 0.08, bias + 0.08]}
        # Of eighty pictures each: eight decisions, or four.
        shares = dict(zip(CATEGORIES, (0.1, 0.05, 0.1, 0.05), strict=True))
        details["cue_conflict"]["per_category"] = {n: cues(bias, s) for n, s in shares.items()}
    return _result(
        model,
        seed,
        kind="ood",
        task=condition,
        split="held-out objects",
        examples=320 * max(1, len(levels) - len(excluded)),
        metric="accuracy",
        value=value,
        interval=(value - 0.03, value + 0.03),
        interval_method="percentile bootstrap, 1000 resamples of base objects",
        details=details,
    )


def cues(bias, share=0.2):
    """Return shape and texture decisions, as shares of the pictures, and the shape bias."""
    known = {"shape": share * bias, "texture": share * (1 - bias)}
    return known | {"shape_bias": bias}


def curvature(model, seed, rng):
    batches, k = 4, 5
    scale = 40 if "Mamba" in model else 25
    largest = -np.sort(-scale * rng.gamma(2, 1, (batches, k)), axis=1)
    smallest = np.sort(-0.2 * scale * rng.gamma(2, 0.5, (batches, k)), axis=1)
    nodes = np.sort(
        np.concatenate([smallest, 0.1 * rng.standard_normal((batches, 14)), largest], axis=1)
    )[:, None]
    weights = np.where(np.abs(nodes) < 0.5, 1.0, 1e-6)
    weights /= weights.sum(-1, keepdims=True)
    per_batch = {
        "lambda_max": largest[:, 0],
        "lambda_min": smallest[:, 0],
        "lambda_min_over_max": smallest[:, 0] / largest[:, 0],
        "negative_share_of_top": np.array([0.2, 0.0, 0.0, 0.0]),
        "negative_mass": 0.1 + 0.02 * rng.random(batches),
        "trace": 900 + 50 * rng.standard_normal(batches),
        "effective_rank": 55 + rng.standard_normal(batches),
    }
    figures = {
        name: {
            "mean": float(v.mean()),
            "interval": [float(v.mean() - 1.6 * v.std()), float(v.mean() + 1.6 * v.std())],
            "per_batch": v.tolist(),
        }
        for name, v in per_batch.items()
    }
    yes = np.ones((batches, k), bool).tolist()
    return _result(
        model,
        seed,
        kind="hessian",
        task="clip-loss",
        split="train",
        examples=256,
        metric="lambda_max_mean",
        value=figures["lambda_max"]["mean"],
        interval=tuple(figures["lambda_max"]["interval"]),
        interval_method="Student t over mini-batches (4)",
        details={
            "settings": {
                "k": k,
                "batches": batches,
                "batch_size": 64,
                "steps": 32,
                "probes": 3,
                "tolerance": 0.01,
            },
            "parameters": MODELS[model] + 610_000,
            "figures": figures,
            "eigenvalues": {
                "largest": largest.tolist(),
                "smallest": smallest.tolist(),
                "largest_converged": yes,
                "smallest_converged": yes,
                "shares": _shares(model, batches, k),
            },
            "trace": {"mean": 900.0, "standard_error": 12.0},
            "probes": {"worst_difference": 2e-8, "scan": {"worst_difference": 5e-8}},
            **_asides(model, largest),
            "density": {"nodes": nodes.tolist(), "weights": weights.tolist()},
        },
    )


def _shares(model, batches, k):
    """Return where the eigenvectors lie: in Mamba's stems, in the ViTs' text towers."""
    home = {"stem": 0.9, "text": 0.06} if is_mamba(model) else {"stem": 0.2, "text": 0.7}
    parts = {**home, "stage-0": 0.02, "stage-1": 0.01, "head": 0.01, "scan": 0.001}
    return {name: [[share] * 2 * k] * batches for name, share in parts.items()}


def _asides(model, largest):
    """Return the Hessian's side measurements: blocks, batch sizes and surfaces."""
    top, mamba = float(largest[0, 0]), is_mamba(model)

    def summary(size, batches, value, converged=True):
        figures = {
            name: {"mean": v, "interval": [0.8 * v, 1.2 * v] if batches > 1 else None}
            for name, v in {"lambda_max": value, "lambda_min": -0.3 * value, "trace": 900}.items()
        }
        flags = [[converged]] * batches
        return {"batch_size": size, "batches": batches, "parameters": 9, "figures": figures} | {
            f"{end}_converged": flags for end in ("largest", "smallest")
        }

    parts = {"image": 0.9, "text": 0.5, "stem": 0.8, "stage-0": 0.1, "stage-1": 0.2, "head": 0.05}
    blocks = {name: summary(64, 1, part * top) for name, part in parts.items()}
    if mamba:
        blocks["scan"] = summary(64, 1, 0.004, converged=model != "VMamba-Micro")
    factor = 1.0 if mamba else 0.5
    steps = np.linspace(-1, 1, 5)
    walk = {"plane_steps": [-1.0, 0.0, 1.0], "plane": [[4.0, 3.5, 4.0]] * 3}
    lines = [(3.5 + 0.4 * steps**2).tolist(), (3.5 - 0.1 * steps).tolist()]
    reach = (2 / top) ** 0.5
    return {
        "blocks": blocks,
        "sweep": [summary(16, 8, top), summary(32, 4, top), summary(128, 1, factor * top)],
        "surfaces": {
            "random": walk | {"steps": steps.tolist(), "lines": lines},
            "eigenvectors": walk
            | {"steps": (reach * steps).tolist(), "lines": lines}
            | {"plane_steps": [-reach, 0.0, reach]},
        },
    }


def everything(seeds=(0,)):
    """Return results of all kinds for all models."""
    found = []
    for number, (model, seed) in enumerate(itertools.product(MODELS, seeds)):
        rng = np.random.default_rng(number)
        found.append(pretraining(model, seed, rng))
        found += [zero_shot(model, seed, task, rng) for task in TASKS]
        found += [out_of_distribution(model, seed, condition, rng) for condition in LEVELS]
        found.append(curvature(model, seed, rng))
    rng = np.random.default_rng(99)
    return found + [zero_shot("pixel-1nn", 0, task, rng) for task in TASKS]


def trials(model, seed, condition, objects=12):
    """Return trials as the benchmark writes them."""
    rng = np.random.default_rng([seed, len(model), len(condition)])
    rows = []
    for level, category, number in itertools.product(LEVELS[condition], CATEGORIES, range(objects)):
        known = 0.6 - 0.09 * LEVELS[condition].index(level)
        answer = category if rng.random() < known else str(rng.choice(CATEGORIES))
        texture = CATEGORIES[(CATEGORIES.index(category) + 1) % len(CATEGORIES)]
        name = f"{len(rows):04d}_clip_s1_{level}_{category}_10_{category}{number}v0.png"
        if condition == "cue-conflict":
            name = f"{category}{number}-{texture}{number}.png"
        rows.append((model, 1, len(rows) + 1, np.nan, answer, category, level, name))
    columns = list(trial_tables.COLUMNS)
    return pd.DataFrame(rows, columns=columns)


PAPER_MODELS = {
    "VMamba-T220": 31_715_904,
    "VMamba-S": 49_378_752,
    "VMamba-B": 87_532_800,
    "SiMBA-L": 65_736_512,
    "ViT-B-16": 86_192_640,
    "ViT-L-16": 303_825_920,
}
ABSENT = "gated: put the files of its owner's download form in a folder and name it"


def paper_zero_shot(seeds=(0,), absent=("hateful-memes",)):
    """Return made-up results of the report's models on its 26 tasks, some of them missing."""
    from clip_mamba.tables.published import titles

    found = []
    for number, (model, seed) in enumerate(itertools.product(PAPER_MODELS, seeds)):
        rng, own = np.random.default_rng(1000 + number), np.random.default_rng(len(model))
        for task, title in titles().items():
            known = own.normal(0.35, 0.2) + 0.004 * rng.standard_normal()
            value = float(np.clip(known, 0.02, 0.95))
            shared = {
                "kind": "zeroshot",
                "scale": "paper",
                "task": task,
                "split": "test",
                "metric": "mean_per_class" if task == "pets" else "top1",
                "image_parameters": PAPER_MODELS[model],
                "details": {
                    "title": title,
                    "classes": 101,
                    "chance": 1 / 101,
                    "majority": 0.02,
                    "report_split": "val" if task == "eurosat" else None,
                },
            }
            if task in absent:
                shared |= {"examples": 0, "value": None, "reason": ABSENT}
            else:
                shared |= {"examples": 5000, "value": value}
                shared |= {"interval": (max(0.0, value - 0.013), value + 0.013)}
                shared |= {"interval_method": "percentile bootstrap, 1000 resamples of examples"}
            found.append(_result(model, seed, **shared))
    return found


def retrieval(model, seed, rng, task="unseen-style"):
    """Return a made-up retrieval result."""

    def entry(value):
        return {"value": value, "interval": [0.9 * value, 1.1 * value]}

    first = 0.02 + 0.05 * rng.random()
    recalls = {f"R@{k}": entry(first * k**0.6) for k in (1, 5, 10)}
    return _result(
        model,
        seed,
        kind="retrieval",
        task=task,
        split="Fluent 3D drawings of training concepts",
        examples=1357,
        metric="mean recall",
        value=first * 2,
        interval=(1.8 * first, 2.2 * first),
        interval_method="percentile bootstrap, 1000 resamples of images",
        details={
            "title": "Unseen style",
            "images": 1357,
            "captions": 4000,
            "image-to-text": recalls,
            "text-to-image": recalls,
        },
    )


def linear_probe(model, seed, rng, task="unseen-style-group"):
    """Return a made-up linear probe."""
    value = 0.3 + 0.2 * rng.random()
    return _result(
        model,
        seed,
        kind="linear-probe",
        task=task,
        split="Fluent 3D drawings of training concepts",
        examples=1357,
        metric="top1",
        value=value,
        interval=(value - 0.02, value + 0.02),
        interval_method="percentile bootstrap, 1000 resamples of depicted concepts",
        details={
            "title": "Unseen style, group",
            "classes": 9,
            "chance": 1 / 9,
            "majority": 0.3,
            "C": 0.0316,
            "train_examples": 2000,
        },
    )
