"""Fetch people's answers on one of the benchmark's sets."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.humans import fetch_humans  # noqa: E402

try:
    fetch_humans(
        snakemake.wildcards.condition, snakemake.output.trials, table=snakemake.params.table
    )
except FetchError as error:
    raise SystemExit(str(error)) from None
