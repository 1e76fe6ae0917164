"""Fetch one of the benchmark's sets as its authors released it."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.ood_releases import fetch_release  # noqa: E402

try:
    fetch_release(
        snakemake.wildcards.condition, snakemake.output.archive, table=snakemake.params.table
    )
except FetchError as error:
    raise SystemExit(str(error)) from None
