"""Lay out all trials as the benchmark's own toolbox expects them."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.ood.export import export_trials  # noqa: E402

export_trials(snakemake.input.trials, snakemake.input.humans, snakemake.output.folder)
