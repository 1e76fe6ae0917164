"""Draw one figure from a table."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures, tables  # noqa: E402

frame = tables.without_variants(tables.read_csv(snakemake.input.csv))
figure = getattr(figures, snakemake.wildcards.figure)(frame)
figures.write(figure, *snakemake.output)
