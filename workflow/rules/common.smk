"""Configuration, wildcard constraints, path helpers and code digests."""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from clip_mamba.data import emoji, ood_base
from clip_mamba.data.sources import read_sources
from workflow.configuration import mistakes

if found := mistakes(config):
    sys.exit("\n".join(found))

SCALE = config["scale"]
STUDY = config["scales"][SCALE]
RUNS = [f"{model}-{seed}" for model in STUDY["models"] for seed in STUDY["seeds"]]
CONDITIONS = list(STUDY["ood"]["levels"])

SOURCES = read_sources()
SOURCE_OF_ARCHIVE = {source.filename: source for source in SOURCES.values()}


def archive(name):
    """Path of a download of data/sources.tsv."""
    return f"results/{{scale}}/data/raw/{SOURCES[name].filename}"


def corpus_archives(wildcards):
    """Downloads that the corpus is rendered from: names, training styles, the unseen style."""
    styles = study(wildcards)["corpus"]["styles"]
    return [archive(name) for name in emoji.needed_sources(styles)]


def ood_archives(wildcards):
    """Downloads that the out-of-distribution objects are cut from."""
    return [archive(name) for name in ood_base.needed_sources()]


# Library files that decide how the corpus looks.
DRAWING = [
    f"data/{name}.py"
    for name in [
        "captions",
        "compose",
        "concepts",
        "drawings",
        "emoji",
        "render",
        "shards",
    ]
]
# Library files that decide what a model computes.
MODEL = [
    "checkpoints.py",
    "factory.py",
    "models/*.py",
    "models/configs/*.json",
    "ops/*.py",
    "tokenizer.py",
]
TABLES = ["models", "zeroshot", "ood", "hessian"]
FIGURES_OF_TABLES = {
    "accuracy": "zeroshot",
    "ood_curves": "ood",
    "ood_summary": "ood",
    "consistency": "ood",
}
FIGURES_OF_RESULTS = {
    "loss_curves": "pretrain",
    "hessian_spectra": "hessian",
    "hessian_densities": "hessian",
}
FIGURES = ["corpus", "stimuli", *FIGURES_OF_TABLES, *FIGURES_OF_RESULTS]


def figure_path(name):
    """The file of a figure that the report includes; the stimuli are pixels, not vectors."""
    return f"results/figures/{name}.{'png' if name == 'stimuli' else 'pdf'}"


wildcard_constraints:
    scale="|".join(config["scales"]),
    model=r"[A-Za-z0-9.\-]+",
    seed=r"\d+",
    task=r"[a-z0-9\-]+",
    condition=r"[A-Za-z\-]+",


def study(wildcards):
    """The configuration of the scale that a file belongs to."""
    return config["scales"][wildcards.scale]


def recipe(wildcards):
    """The pretraining settings of that scale."""
    return config["recipes"][study(wildcards)["recipe"]]["settings"]


def code(*names):
    """Digest of the library files that a job executes; a change to one of them, and to no
    other, makes it run again."""
    text = hashlib.sha256()
    for name in sorted(names):
        for path in sorted((Path(workflow.basedir) / "clip_mamba").glob(name)):
            text.update(path.read_bytes())
    return text.hexdigest()[:16]
