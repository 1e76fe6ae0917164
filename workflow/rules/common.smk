"""Configuration, wildcard constraints, path helpers and code digests."""

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from clip_mamba.data import checksums, download, emoji, ood_base
from clip_mamba.data.sources import read_sources
from workflow.configuration import mistakes

if found := mistakes(config):
    sys.exit("\n".join(found))

# The library reads these; a job of the cluster comes through here as well.
os.environ[download.MIRRORS] = json.dumps(config["downloads"]["mirrors"])
os.environ[checksums.VARIABLE] = config["downloads"]["checksums"]

SCALE = config["scale"]
STUDY = config["scales"][SCALE]


def origin(scale, model):
    """Where a model's weights come from: pretrain, released, or the path of a checkpoint."""
    weights = config["scales"][scale]["weights"]
    return weights if isinstance(weights, str) else weights.get(model, "pretrain")


def runs(model):
    """The runs of a model: one per seed, or one with weights from elsewhere."""
    word = origin(SCALE, model)
    if word == "pretrain":
        return [f"{model}-{seed}" for seed in STUDY["seeds"]]
    return [f"{model}-{'released' if word == 'released' else 'given'}"]


def conditions(study):
    """The out-of-distribution sets of a study."""
    return list(study["ood"].get("levels") or study["ood"]["conditions"])


def scales_where(section, key, value):
    """A pattern for the scales that have a setting; matches nothing if none has."""
    found = [s for s, study in config["scales"].items() if study[section][key] == value]
    return "|".join(found) or "(?!)"


RUNS = [run for model in STUDY["models"] for run in runs(model)]
PRETRAINED = [
    run
    for model in STUDY["models"]
    if origin(SCALE, model) == "pretrain"
    for run in runs(model)
]
CONDITIONS = conditions(STUDY)
# The nearest neighbour in pixels needs the corpus's labels.
BASELINES = ["pixel-1nn-0"] if STUDY["corpus"]["kind"] == "emoji" else []

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


def corpus_index(scale):
    """Index of the pairs that the models of a scale are pretrained on."""
    return f"results/{scale}/data/{config['scales'][scale]['corpus']['kind']}/train/index.json"


def corpus_index_of(wildcards):
    """The same as an input function."""
    return corpus_index(wildcards.scale)


def given_weights(wildcards):
    """The checkpoint that the configuration names for a model."""
    return origin(wildcards.scale, wildcards.model)


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


def runs_of_kind(kind):
    """The runs that have a result of a kind: weights from elsewhere were not pretrained here."""
    return PRETRAINED if kind == "pretrain" else RUNS


wildcard_constraints:
    scale="|".join(config["scales"]),
    model=r"[A-Za-z0-9.\-]+",
    seed=r"\d+|released|given",
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
