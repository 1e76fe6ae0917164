"""Turn a released archive into a set of stimuli."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.ood_releases import repack  # noqa: E402

count = repack(
    snakemake.input.archive,
    snakemake.wildcards.condition,
    snakemake.output.stimuli,
    table=snakemake.params.table,
)
print(f"{snakemake.wildcards.condition}: {count} stimuli")
