"""Write one zero-shot task of the emoji corpus."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.demo_tasks import build_emoji_task  # noqa: E402

build_emoji_task(
    snakemake.input.rendered,
    snakemake.wildcards.task,
    Path(snakemake.output.task),
    seed=snakemake.params.seed,
    image_size=snakemake.params.image_size,
)
