"""Draw training pictures with their captions."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

import numpy as np  # noqa: E402

from clip_mamba import figures  # noqa: E402
from clip_mamba.data.pairs import open_pairs  # noqa: E402

PICTURES = 24
pairs = open_pairs(snakemake.input.index)
shown = range(min(PICTURES, len(pairs)))
images = [np.asarray(pairs.image(i)) for i in shown]
figure = figures.corpus_sheet(images, [pairs.captions(i)[0] for i in shown])
figures.write(figure, *snakemake.output)
