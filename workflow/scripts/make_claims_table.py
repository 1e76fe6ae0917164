"""Judge the original's claims."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import claims, tables  # noqa: E402
from clip_mamba.claims.comparisons import CONDITIONS, QUANTITIES  # noqa: E402

given = snakemake.input
evidence = claims.gather(
    tables.read([*given.zeroshot, *given.ood, *given.hessian]),
    given.predictions,
    tables.read_trials(given.trials),
    conditions=CONDITIONS,
    quantities=QUANTITIES,
)
tables.write(
    claims.evaluate(evidence, snakemake.params.recipe),
    "claims",
    snakemake.output.csv,
    snakemake.output.tex,
    scale=snakemake.params.scale,
    html_path=snakemake.output.html,
)
