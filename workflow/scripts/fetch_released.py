"""Fetch the released checkpoint of one model."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.released_files import fetch_released  # noqa: E402

try:
    fetch_released(snakemake.wildcards.model, snakemake.output.checkpoint)
except FetchError as error:
    raise SystemExit(str(error)) from None
