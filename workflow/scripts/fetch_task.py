"""Fetch a split of one zero-shot task."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.zeroshot_sets.prepare import fetch_task  # noqa: E402

try:
    fetch_task(snakemake.wildcards.task, snakemake.output.manifest, snakemake.wildcards.part)
except (FetchError, ValueError) as error:
    raise SystemExit(str(error)) from None
