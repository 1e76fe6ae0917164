"""Fetch SLIP's class names and templates."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.zeroshot_sets.prompts import fetch_prompts  # noqa: E402

try:
    fetch_prompts(Path(snakemake.output.labels).parent)
except FetchError as error:
    raise SystemExit(str(error)) from None
