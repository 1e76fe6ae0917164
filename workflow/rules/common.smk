"""Configuration, wildcard constraints, path helpers and code digests."""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from clip_mamba.corruptions import levels
from clip_mamba.data import checksums, download, emoji, ood_base
from clip_mamba.data.ood_releases import read_releases
from clip_mamba.data.released_files import read_released
from clip_mamba.data.sources import read_sources
from clip_mamba.data.zeroshot_sets.label_order import recorded_order
from clip_mamba.data.zeroshot_sets.table import read_entries, read_retrieval_entries
from clip_mamba.training.section import complete, resolve
from clip_mamba.variants import architecture, named, variant
from workflow import cluster, corpora, failures
from workflow.configuration import mistakes, settle
from workflow.contents import run_labels, table_labels
from workflow.cross_checks import MODEL_NAME
from workflow.digest import code

settle(config)
_given = workflow.config_settings
if found := mistakes(config, _given.configfiles, _given.config):
    sys.exit("\n".join(found))

# The library reads these; a job of the cluster comes through here as well.
os.environ[download.MIRRORS] = json.dumps(config["downloads"]["mirrors"])
os.environ[checksums.VARIABLE] = config["downloads"]["checksums"]

SCALE = config["scale"]
STUDY = config["scales"][SCALE]


def origin(scale, model):
    """Where a model's weights come from: pretrain, released, or the path of a checkpoint."""
    if variant(model):
        return "pretrain"
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
    ood = study["ood"]
    return [*(ood.get("levels") or ood["conditions"]), *ood.get("folders", {})]


def own_conditions():
    """A pattern for the sets that come from folders of the user's; matches nothing if none do."""
    found = {
        name for s in config["scales"].values() for name in s["ood"].get("folders", {})
    }
    return "|".join(sorted(found)) or "(?!)"


def released_set(wildcards):
    """The row of a set in the table of released sets; a change to it fetches the set again."""
    return str(read_releases(study(wildcards)["ood"]["table"])[wildcards.condition])


def human_trials():
    """Folders of people's trials, one per set, where people saw the same pictures."""
    if STUDY["ood"]["source"] != "releases":
        return []
    return [
        f"results/{SCALE}/data/ood/humans/{name}" for name in STUDY["ood"]["conditions"]
    ]


def scales_where(section, key, value):
    """A pattern for the scales that have a setting; matches nothing if none has."""
    found = [s for s, study in config["scales"].items() if study[section][key] == value]
    return "|".join(found) or "(?!)"


# The study's models, and those that are pretrained once more by another recipe.
MODELS = [
    *STUDY["models"],
    *(
        named(model, name)
        for name, chosen in STUDY["variants"].items()
        for model in STUDY["models"]
        if model in chosen["models"]
    ),
]
RUNS = [run for model in MODELS for run in runs(model)]
PRETRAINED = [
    run for model in MODELS if origin(SCALE, model) == "pretrain" for run in runs(model)
]
CONDITIONS = conditions(STUDY)
# Zero-shot tasks that share a model load: as many as the study says, and more of them where there
# would be more than 26 such jobs, for so many has slurm/config.yaml rules with a GPU.
_TASKS = STUDY["zeroshot"]
_JOBS = min(26, -(-len(_TASKS) // (STUDY["tasks_per_job"] or len(_TASKS))))
BATCHES = [
    _TASKS[len(_TASKS) * i // _JOBS : len(_TASKS) * (i + 1) // _JOBS]
    for i in range(_JOBS)
]

# The nearest neighbour in pixels needs the corpus's labels.
BASELINES = ["pixel-1nn-0"] if STUDY["corpus"]["kind"] == "emoji" else []

# The report's tasks and the retrieval sets, from data/zeroshot.tsv and data/retrieval.tsv.
ZEROSHOT = read_entries()
RETRIEVAL_SETS = read_retrieval_entries()

# The sets of the benchmark, whether made here or released.
PUBLISHED = levels.CONDITIONS

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


def drawing_seed(wildcards):
    """Seed of what is made of drawings; only the corpus that is made of them has one."""
    return study(wildcards)["corpus"].get("seed", 0)


def given_weights(wildcards):
    """The checkpoint that the configuration names for a model."""
    return origin(wildcards.scale, wildcards.model)


def task_downloads(part):
    """An input function: the list of a task's downloads; a gated task has none."""

    def files(wildcards):
        folder = f"results/{wildcards.scale}/data/raw/zeroshot/{wildcards.task}"
        return [] if ZEROSHOT[wildcards.task].gated else [f"{folder}/{part}.json"]

    return files


def gated_folder(wildcards):
    """The user's folder of a gated task, if there is one."""
    return config["gated"].get(wildcards.task)


def label_order(wildcards):
    """A task's row of data/zeroshot_labels.tsv; a change to it prepares that task again."""
    return recorded_order(wildcards.task, ZEROSHOT[wildcards.task].classes)


def folder_task_settings(task):
    """What a user says of an own task, beside its folder."""
    return {
        key: value for key, value in config["tasks"][task].items() if key != "folder"
    }


TABLES = ["models", "zeroshot", "ood", "hessian", "hessian_blocks", "claims"]
# Sets that a study may do without.
TABLES += [name for name in ["retrieval", "linear_probe"] if STUDY[name]]
TABLES_OF_TASKS = ["zeroshot", "retrieval", "linear_probe"]
FIGURES_OF_TABLES = {
    "accuracy": "zeroshot",
    "efficiency": "zeroshot",
    "zeroshot_difference": "zeroshot",
    "ood_curves": "ood",
    "ood_difference": "ood",
    "ood_summary": "ood",
    "shape_bias": "ood",
    "consistency": "ood",
}
if STUDY["corpus"]["kind"] != "emoji":
    # The original's tasks are measured: its numbers can be set beside ours.
    FIGURES_OF_TABLES["reproduction"] = "zeroshot"
FIGURES_OF_RESULTS = {
    "loss_curves": "pretrain",
    "hessian_spectra": "hessian",
    "hessian_densities": "hessian",
    "hessian_size": "hessian",
    "hessian_sweep": "hessian",
    "hessian_blocks": "hessian",
    "hessian_surfaces": "hessian",
}
FIGURES = ["corpus", "stimuli", *FIGURES_OF_TABLES, *FIGURES_OF_RESULTS]


def result_files(kind, runs=RUNS, ending="json", **parts):
    """Result files of a kind, one per run, and per task or condition if any are given."""
    path = Path("results", SCALE, kind, "{run}", *(f"{{{part}}}" for part in parts))
    return expand(f"{path}.{ending}", run=runs, **parts)


def measurements():
    """Everything that the study measures."""
    tasks = {name: STUDY[name] for name in TABLES_OF_TASKS}
    return [
        *result_files("pretrain", PRETRAINED),
        *result_files("hessian"),
        *result_files("ood", condition=CONDITIONS),
        *(
            path
            for name, chosen in tasks.items()
            for path in result_files(name.replace("_", "-"), task=chosen)
        ),
    ]


def table_inputs(table):
    """What a table is made from, by name."""
    if table == "models":
        elsewhere = [run for run in RUNS if run not in PRETRAINED]
        return {
            "results": [
                *result_files("pretrain", PRETRAINED),
                # For their sizes.
                *result_files("zeroshot", elsewhere, task=STUDY["zeroshot"][:1]),
            ]
        }
    if table in ["hessian", "hessian_blocks"]:
        return {"results": result_files("hessian")}
    if table == "ood":
        return {
            "results": result_files("ood", condition=CONDITIONS),
            "trials": result_files("ood", ending="csv", condition=CONDITIONS),
            "humans": human_trials(),
        }
    if table == "zeroshot":
        runs = [*BASELINES, *RUNS]
        return {
            "results": result_files("zeroshot", runs, task=STUDY["zeroshot"]),
            "predictions": result_files(
                "zeroshot", ending="parquet", task=STUDY["zeroshot"]
            ),
            "published": "paper/published/zeroshot.csv",
            "titles": "data/zeroshot.tsv",
        }
    return {"results": result_files(table.replace("_", "-"), task=STUDY[table])}


def table_files(table):
    """The files of a table, those of the interactive report marked as such."""
    shown = {"caption": "../captions/table.rst", "labels": table_labels(table)}
    path = f"results/tables/{table}"
    return {
        "csv": report(f"{path}.csv", category="Source data", **shown),
        "tex": f"{path}.tex",
        "html": report(f"{path}.html", category="Tables", **shown),
    }


def figure_path(name):
    """The file of a figure that the report includes."""
    return f"results/figures/{name}.pdf"


def data_sheet():
    """Tables of what was downloaded, for the report."""
    if STUDY["corpus"]["kind"] == "emoji":
        return ["data/sources.tsv"]
    return [
        "data/zeroshot.tsv",
        "data/retrieval.tsv",
        "data/ood.tsv",
        "data/released.tsv",
    ]


def commit():
    """Name and date of the commit that the report is of; nothing outside of a git clone."""
    done = subprocess.run(
        ["git", "-C", workflow.basedir, "log", "-1", "--format=%h %cs"],
        capture_output=True,
        text=True,
    )
    name, _, date = done.stdout.strip().partition(" ")
    return {"commit": name, "date": date}


def report_sections():
    """Templates of the report's sections."""
    folder = Path(workflow.basedir) / "paper"
    return sorted(
        str(p.relative_to(folder.parent)) for p in folder.glob("sections/*.j2")
    )


def drawn_runs(kind):
    """The runs that figures of a kind of result show: those of the study's own recipe, and of
    pretraining only those that were pretrained here."""
    return [
        run for run in (PRETRAINED if kind == "pretrain" else RUNS) if not variant(run)
    ]


wildcard_constraints:
    scale="|".join(config["scales"]),
    # Perhaps with a variant: clip_mamba/variants.py.
    model=MODEL_NAME + r"(@[a-z][a-z0-9\-]*)?",
    seed=r"\d+|released|given",
    task=r"[a-z0-9\-]+",
    condition=r"[A-Za-z\-]+",


def study(wildcards):
    """The configuration of the scale that a file belongs to."""
    return config["scales"][wildcards.scale]


def growing(demo, paper=None):
    """A resource that starts by scale and is doubled, then trebled, when the job is tried again."""

    def demand(wildcards, attempt):
        scale = getattr(wildcards, "scale", SCALE)
        return attempt * (demo if scale == "demo" or paper is None else paper)

    return demand


def recipe_of(scale, model):
    """The pretraining settings of a model, which may be a variant."""
    chosen, name = config["scales"][scale], variant(model)
    section = (chosen["variants"][name] if name else chosen)["recipe"]
    return resolve(complete(config["recipes"], section), architecture(model))


def recipe(wildcards):
    """The same as a parameter."""
    return recipe_of(wildcards.scale, wildcards.model)


def shared_recipe(wildcards):
    """The settings that all models of a scale share: measurements of the loss use them, so that
    every model sees the same pictures."""
    return complete(config["recipes"], study(wildcards)["recipe"])["settings"]


def processes(wildcards):
    """Processes of a pretraining and of its loaders, where no cluster's profile says otherwise."""
    training = study(wildcards)["training"]
    each = training["threads"] + training["workers"]
    return training["nodes"] * training["devices"] * each


def validation_tasks(wildcards):
    """Folders of the tasks that a pretraining is scored on as it goes on; that they were made anew
    is no reason to pretrain again."""
    training = study(wildcards)["training"]
    names = training["validation_tasks"] if training["validation_steps"] else []
    folder = f"results/{wildcards.scale}/data/zeroshot"
    return [ancient(f"{folder}/{name}") for name in names]


def code_of_model(*names):
    """A parameter: the digest of all code of a job that builds the model it is named after. An edit
    of another model's configuration does not concern it."""
    return lambda wildcards: code(
        *names, "clip_mamba.models", model=architecture(wildcards.model)
    )
