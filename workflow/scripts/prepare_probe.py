"""Prepare one task for linear probing."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.zeroshot_sets.prepare import prepare_train  # noqa: E402

try:
    prepare_train(
        snakemake.wildcards.task,
        snakemake.output.task,
        test=snakemake.input.task,
        prompts=Path(snakemake.input.prompts[0]).parent,
        manifest=next(iter(snakemake.input.manifest), None),
        folder=snakemake.params.folder,
        threads=cores(snakemake),
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
