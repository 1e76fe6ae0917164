"""Join OpenAI's list with YFCC100M's metadata."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.expected import Expected  # noqa: E402
from clip_mamba.data.yfcc import join  # noqa: E402

corpus = snakemake.params.corpus
expected = corpus["n_pairs"] and Expected(corpus["n_pairs"], corpus["tolerance"])
try:
    summary = join(
        snakemake.input.listing,
        snakemake.input.metadata,
        snakemake.output.pairs,
        images=corpus["images"],
        listed=corpus["listed"],
        limit=corpus["limit"],
        expected=expected,
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
print(summary)
