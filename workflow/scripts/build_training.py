"""Write the training shards."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.emoji import build_training  # noqa: E402

build_training(
    snakemake.input.rendered,
    Path(snakemake.output.index).parent,
    seed=snakemake.params.seed,
    image_size=snakemake.params.image_size,
)
