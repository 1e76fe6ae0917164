"""Show one object in every condition."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures  # noqa: E402
from clip_mamba.stimuli import one_object  # noqa: E402

stimuli = dict(zip(snakemake.params.conditions, snakemake.input.stimuli, strict=True))
figure = figures.stimuli(one_object(stimuli))
figures.write(figure, *snakemake.output)
