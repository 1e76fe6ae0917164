"""Make the stimuli of one condition at all its levels."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.stimuli import make_stimuli  # noqa: E402

make_stimuli(
    snakemake.input.base,
    snakemake.wildcards.condition,
    snakemake.params.levels,
    image_size=snakemake.params.image_size,
    seed=snakemake.params.seed,
    out_path=snakemake.output.stimuli,
    per_category=snakemake.params.per_category,
)
