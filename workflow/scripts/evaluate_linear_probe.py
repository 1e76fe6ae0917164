"""Probe the frozen features of one model on tasks of the scale."""

from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.linear_probe import run  # noqa: E402 - the log must catch what imports print
from clip_mamba.results import parse_seed  # noqa: E402

run(
    model_name=snakemake.wildcards.model,
    seed=parse_seed(snakemake.wildcards.seed),
    scale=snakemake.wildcards.scale,
    weights=snakemake.input.weights,
    tasks=snakemake.input.tasks,
    results=snakemake.output.results,
    predictions=snakemake.output.predictions,
    threads=cores(snakemake),
)
