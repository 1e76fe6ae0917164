"""Make one table from results."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import tables  # noqa: E402

name = snakemake.params.name
options = {"models": snakemake.params.models}
if snakemake.params.tasks is not None:
    options["tasks"] = snakemake.params.tasks
if name == "zeroshot":
    options["predictions"] = snakemake.input.predictions
if name == "ood":
    options["trials"] = tables.read_trials(snakemake.input.trials)
    options["humans"] = tables.read_humans(snakemake.input.humans)
frame = getattr(tables, name)(tables.read(snakemake.input.results), **options)
tables.write(
    frame,
    name,
    snakemake.output.csv,
    snakemake.output.tex,
    scale=snakemake.params.scale,
    html_path=snakemake.output.html,
)
