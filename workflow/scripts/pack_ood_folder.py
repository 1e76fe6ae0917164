"""Write a user's folder of distorted pictures as an out-of-distribution set."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.ood_folder import pack_ood_folder  # noqa: E402

try:
    pack_ood_folder(
        snakemake.input.folder,
        snakemake.wildcards.condition,
        snakemake.params.levels,
        snakemake.output.stimuli,
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
