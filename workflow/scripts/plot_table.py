"""Draw one figure from a table."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures, tables  # noqa: E402

figure = getattr(figures, snakemake.wildcards.figure)(tables.read_csv(snakemake.input.csv))
figures.write(figure, snakemake.output.pdf, snakemake.output.png)
