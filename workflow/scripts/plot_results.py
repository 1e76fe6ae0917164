"""Draw one figure from results."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures, tables  # noqa: E402

figure = getattr(figures, snakemake.wildcards.figure)(tables.read(snakemake.input.results))
figures.write(figure, *snakemake.output)
