"""Fill the report's template."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import report, tables  # noqa: E402

given = snakemake.input
paths = [*given.pretrain, *given.zeroshot, *given.probes, *given.ood, *given.hessian]
context = report.context(
    tables.read(paths),
    scale=snakemake.params.scale,
    study=snakemake.params.study,
    recipe=snakemake.params.recipe,
    settings=snakemake.params.settings,
    table_paths=dict(zip(snakemake.params.tables, given.tables, strict=True)),
    figure_paths=dict(zip(snakemake.params.figures, given.figures, strict=True)),
    sources=given.sources,
    published=given.published,
    corpus=given.index,
    trials=tables.read_trials(given.trials),
    claimed=tables.read_csv(given.claims),
    zeroshot=tables.read_csv(given.zeroshot_table),
    code=snakemake.params.commit,
)
report.render(given.template, context, snakemake.output.tex)
