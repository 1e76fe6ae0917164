"""Fetch the test split of one retrieval set."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.retrieval_sets import fetch_retrieval  # noqa: E402

try:
    fetch_retrieval(snakemake.wildcards.task, snakemake.output.manifest)
except (FetchError, ValueError) as error:
    raise SystemExit(str(error)) from None
