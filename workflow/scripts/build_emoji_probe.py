"""Write a task of the emoji corpus with training pictures, for linear probing."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.demo_probes import build_emoji_probe  # noqa: E402

build_emoji_probe(
    snakemake.input.task,
    snakemake.input.index,
    snakemake.output.folder,
    examples=snakemake.params.examples,
    seed=snakemake.params.seed,
)
