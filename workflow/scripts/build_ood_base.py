"""Cut out held-out objects of the 16 categories."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.ood_base import build_ood_base  # noqa: E402

build_ood_base(
    Path(snakemake.input.archives[0]).parent,
    Path(snakemake.output.base).parent,
    seed=snakemake.params.seed,
)
