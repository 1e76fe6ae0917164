"""Write the MNIST task."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.demo_tasks import build_mnist  # noqa: E402

build_mnist(snakemake.input.wheel, Path(snakemake.output.task))
