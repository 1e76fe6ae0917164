"""Measure the Hessian of one model."""

from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.hessian.run import run  # noqa: E402
from clip_mamba.results import parse_seed  # noqa: E402

settings = dict(snakemake.params.settings)
run(
    model_name=snakemake.wildcards.model,
    seed=parse_seed(snakemake.wildcards.seed),
    scale=snakemake.wildcards.scale,
    weights=snakemake.input.weights,
    index=snakemake.input.index,
    recipe=snakemake.params.recipe,
    **{name: settings.pop(name) for name in ("batches", "batch_size", "sweep", "blocks")},
    surface=settings.pop("surface"),
    settings=settings,
    folder=snakemake.params.pieces,
    code=snakemake.params.code,
    result=snakemake.output.result,
    threads=cores(snakemake),
)
