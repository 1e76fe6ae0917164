"""Fetch one file and check it."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.download import download  # noqa: E402
from clip_mamba.data.fetch import FetchError  # noqa: E402

try:
    download(snakemake.params.url, snakemake.output.file)
except FetchError as error:
    raise SystemExit(str(error)) from None
