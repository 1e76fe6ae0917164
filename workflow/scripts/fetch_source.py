"""Fetch one package and check it."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError, fetch  # noqa: E402
from clip_mamba.data.sources import find_source  # noqa: E402

try:
    fetch(find_source(snakemake.params.source), Path(snakemake.output.archive))
except FetchError as error:
    raise SystemExit(str(error)) from None
