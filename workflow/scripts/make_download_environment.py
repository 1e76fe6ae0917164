"""Make the environment of img2dataset."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.img2dataset import create_environment  # noqa: E402

try:
    create_environment(Path(snakemake.output.mark).parent)
except FetchError as error:
    raise SystemExit(str(error)) from None
