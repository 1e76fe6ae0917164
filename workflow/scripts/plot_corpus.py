"""Draw training pictures with their captions."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba import figures  # noqa: E402
from clip_mamba.data.shards import read_training  # noqa: E402

PICTURES = 24
corpus = read_training(snakemake.input.index)
captions = [sample["captions"][0] for sample in corpus.metadata[:PICTURES]]
figure = figures.corpus_sheet(corpus.images[:PICTURES], captions)
figures.write(figure, snakemake.output.pdf, snakemake.output.png)
