"""Write the retrieval set of the emoji corpus."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.demo_probes import build_emoji_retrieval  # noqa: E402

build_emoji_retrieval(
    snakemake.input.task,
    snakemake.input.rendered,
    snakemake.output.folder,
    seed=snakemake.params.seed,
)
