"""Bring a checkpoint from elsewhere into the form that the evaluations read."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.checkpoints import convert  # noqa: E402

try:
    convert(snakemake.input.checkpoint, snakemake.output.weights, snakemake.wildcards.model)
except ValueError as error:
    raise SystemExit(str(error)) from None
