"""Join the indices of the reference's files."""

from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.expected import Expected  # noqa: E402
from clip_mamba.data.shard_index import merge_indices, report  # noqa: E402

corpus = snakemake.params.corpus
expected = corpus["n_pairs"] and Expected(corpus["n_pairs"], corpus["tolerance"])
try:
    index = merge_indices(
        snakemake.input.parts,
        snakemake.output.index,
        kind="tsv",
        expected=None if corpus["limit"] else expected,
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
print(*report(index), sep="\n")
