"""Prepare one retrieval set."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.retrieval_sets import prepare_retrieval  # noqa: E402

try:
    prepare_retrieval(
        snakemake.wildcards.task, snakemake.output.folder, manifest=snakemake.input.manifest
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
