"""Draw each condition on its own."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures, tables  # noqa: E402

frame = tables.without_variants(tables.read_csv(snakemake.input.csv))
output = snakemake.output
outputs = zip(snakemake.params.conditions, output.pdf, output.png, output.html, strict=True)
for condition, *paths in outputs:
    figures.write(figures.ood_condition(frame, condition), *paths)
