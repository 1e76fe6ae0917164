"""Write a user's folder of pictures as a zero-shot task."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.folder_task import build_folder_task  # noqa: E402

try:
    build_folder_task(
        snakemake.input.folder,
        snakemake.output.task,
        name=snakemake.wildcards.task,
        **snakemake.params.settings,
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
