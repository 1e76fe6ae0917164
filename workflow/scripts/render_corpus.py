"""Render the emoji sets once."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.emoji import render_corpus  # noqa: E402

corpus = snakemake.params.corpus
render_corpus(
    Path(snakemake.input.archives[0]).parent,
    snakemake.output.rendered,
    seed=corpus["seed"],
    held_out=corpus["held_out_concepts"],
    limit_concepts=corpus["limit_concepts"],
    styles=corpus["styles"],
    workers=cores(snakemake),
)
