"""Score the pixel nearest neighbour on every task of the scale."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.baselines import run  # noqa: E402 - the log must catch what imports print

run(
    scale=snakemake.wildcards.scale,
    index=snakemake.input.index,
    tasks=snakemake.input.tasks,
    results=snakemake.output.results,
    size=snakemake.params.image_size,
)
