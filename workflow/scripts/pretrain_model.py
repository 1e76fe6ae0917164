"""Pretrain one model and write its EMA weights and a result."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.pretrain import run  # noqa: E402 - the log must catch what imports print

run(
    model_name=snakemake.wildcards.model,
    seed=int(snakemake.wildcards.seed),
    scale=snakemake.wildcards.scale,
    index=snakemake.input.index,
    settings=snakemake.params.recipe,
    folder=snakemake.params.checkpoints,
    checkpoint_seconds=snakemake.params.checkpoint_seconds,
    threads=snakemake.threads,
    weights=snakemake.output.weights,
    result=snakemake.output.result,
)
