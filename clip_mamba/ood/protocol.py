"""A model decides on the stimuli: trials in the benchmark's columns."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from clip_mamba.features import encode_images
from clip_mamba.ood.decision import TEMPLATES, classifier, decide, question
from clip_mamba.ood.summary import summarise
from clip_mamba.ood.trials import COLUMNS, write_trials
from clip_mamba.results import Seed
from clip_mamba.stimuli.store import Stimulus, read_stimuli
from clip_mamba.subject import open_subject


def evaluate(
    model: nn.Module,
    preprocess: Callable[[Any], Tensor],
    tokenizer: Callable[[list[str]], Tensor],
    stimuli_tars: Mapping[str, str | Path],
    *,
    subject: str,
    names: Sequence[Sequence[str]] | None = None,
    templates: Sequence[str] = TEMPLATES,
    matrix: Tensor | None = None,
    batch_size: int = 512,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Let a model decide on all stimuli of several sets.

    Stimuli that occur in several sets (undistorted controls) are encoded once.

    Args:
        model: A CLIP model in evaluation mode.
        preprocess: Turns a PIL image into the model's input.
        tokenizer: Turns strings into token ids.
        stimuli_tars: Condition to set.
        subject: The model's name in the trials.
        names: See :func:`classifier`.
        templates: See :func:`classifier`.
        matrix: See :func:`classifier`.
        batch_size: Images encoded at once.
        progress: Whether to show a bar.

    Returns:
        The trials by condition, in the benchmark's columns.
    """
    chooser = classifier(model, tokenizer, names, templates, matrix)
    known: dict[bytes, np.ndarray] = {}
    trials = {}
    bar = tqdm(stimuli_tars.items(), desc=f"ood {subject}", unit="set", disable=not progress)
    for condition, path in bar:
        stimuli = read_stimuli(path)
        digests = [hashlib.sha256(stimulus.png).digest() for stimulus in stimuli]
        fresh = {d: s for d, s in zip(digests, stimuli, strict=True) if d not in known}
        if fresh:
            pictures: Iterable[Any] = (stimulus.image for stimulus in fresh.values())
            with torch.inference_mode():
                features = encode_images(model, pictures, preprocess, batch_size)
                known.update(zip(fresh, decide(features, chooser), strict=True))
        answers = [str(known[digest]) for digest in digests]
        trials[condition] = _trials(stimuli, answers, subject)
    return trials


def _trials(stimuli: Sequence[Stimulus], answers: Sequence[str], subject: str) -> pd.DataFrame:
    """Return a table in the benchmark's columns."""
    sessions = pd.Series([stimulus.session for stimulus in stimuli])
    table = pd.DataFrame({
        "subj": subject,
        "session": sessions,
        # The benchmark counts from 1 in each session.
        "trial": sessions.groupby(sessions).cumcount() + 1,
        "rt": np.nan,
        "object_response": list(answers),
        "category": [stimulus.category for stimulus in stimuli],
        "condition": [stimulus.level for stimulus in stimuli],
        "imagename": [stimulus.imagename for stimulus in stimuli],
    })
    return table[list(COLUMNS)]


def run(
    *,
    model_name: str,
    seed: Seed,
    scale: str,
    weights: str | Path,
    stimuli: Mapping[str, str | Path],
    trials: Mapping[str, str | Path],
    results: Mapping[str, str | Path],
    decision: str = "names",
    split: str = "held-out objects",
    threads: int = 1,
) -> None:
    """Let one model decide on several sets and write trials and a result for each.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with, or where they are from.
        scale: Written to the results.
        weights: Safetensors file.
        stimuli: Condition to set.
        trials: Condition to the CSV file to write.
        results: Condition to the JSON file to write.
        decision: See :func:`clip_mamba.ood.decision.question`.
        split: What the stimuli are, in words.
        threads: Threads that torch may use.
    """
    asked = question(decision)
    subject = open_subject(model_name, seed, scale, weights, threads=threads)
    run_name, started = f"{model_name}-{seed}", time.monotonic()
    decided = evaluate(
        subject.model, subject.preprocess, subject.tokenizer, stimuli, subject=run_name,
        names=asked.names, templates=asked.templates, matrix=asked.matrix,
        progress=scale != "demo",
    )  # fmt: skip
    each = (time.monotonic() - started) / len(decided)
    for condition, table in decided.items():
        write_trials(table, trials[condition])
        result = summarise(
            table,
            condition,
            stimuli_tar=stimuli[condition],
            decision=asked.title,
            split=split,
            **subject.fields(started=time.monotonic() - each),
        )
        result.write(results[condition])
        print(f"{run_name} {condition}: {result.value:.4f} {result.interval}")
