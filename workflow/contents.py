"""What the interactive report lists tables and figures under: task, title and models."""

from typing import Any

from clip_mamba.tables.html import TITLES

#: Task and title of each figure.
FIGURES = {
    "corpus": ("pretraining", "Training pictures"),
    "loss_curves": ("pretraining", "Training loss"),
    "accuracy": ("zero-shot", "Accuracy by size, each task"),
    "efficiency": ("zero-shot", "Mean by size"),
    "zeroshot_difference": ("zero-shot", "Difference, paired"),
    "reproduction": ("zero-shot", "Against the published"),
    "stimuli": ("OOD", "Pictures of each condition"),
    "ood_curves": ("OOD", "Accuracy by level"),
    "ood_difference": ("OOD", "Difference, paired"),
    "ood_summary": ("OOD", "Mean and shape bias"),
    "shape_bias": ("OOD", "Shape bias by category"),
    "consistency": ("OOD", "Error consistency"),
    "hessian_spectra": ("Hessian", "Extreme eigenvalues"),
    "hessian_densities": ("Hessian", "Density"),
    "hessian_size": ("Hessian", "Curvature by size"),
    "hessian_sweep": ("Hessian", "Curvature by batch"),
    "hessian_blocks": ("Hessian", "Parts of the models"),
    "hessian_surfaces": ("Hessian", "Loss surfaces"),
}
#: Task of each table.
TASKS = {
    "claims": "claims",
    "models": "pretraining",
    "zeroshot": "zero-shot",
    "retrieval": "zero-shot",
    "linear_probe": "linear probe",
    "ood": "OOD",
    "hessian": "Hessian",
    "hessian_blocks": "Hessian",
}
#: What does not show each model by itself.
MODELS = {
    "claims": "pairs",
    "zeroshot_difference": "pairs",
    "ood_difference": "pairs",
    "consistency": "pairs",
    "corpus": "none",
    "stimuli": "none",
}


def labels_of_figure(name: str) -> dict[str, str]:
    """Return the labels of a figure."""
    task, title = FIGURES[name]
    return {"task": task, "figure": title, "model": MODELS.get(name, "all")}


def figure_labels(wildcards: Any) -> dict[str, str]:
    """Return the labels of a figure, given the wildcards of its job."""
    return labels_of_figure(wildcards.figure)


def run_labels(task: str) -> dict[str, str]:
    """Return the labels of a run's result file, for Snakemake to fill in."""
    return {"task": task, "table": "result file", "model": "{model}", "seed": "{seed}"}


def table_labels(name: str) -> dict[str, str]:
    """Return the labels of a table, and of the data that it shows."""
    return {"task": TASKS[name], "table": TITLES[name], "model": MODELS.get(name, "all")}
