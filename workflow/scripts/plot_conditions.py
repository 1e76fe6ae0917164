"""Draw each condition on its own."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures, tables  # noqa: E402

frame = tables.without_variants(tables.read_csv(snakemake.input.csv))
outputs = zip(snakemake.params.conditions, snakemake.output.pdf, snakemake.output.png, strict=True)
for condition, pdf, png in outputs:
    figures.write(figures.ood_condition(frame, condition), pdf, png)
