"""Index a user's own shards."""

from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.expected import Expected  # noqa: E402
from clip_mamba.data.shard_index import index_shards, report  # noqa: E402
from clip_mamba.data.shard_names import expand_shards  # noqa: E402

corpus = snakemake.params.corpus
expected = corpus["n_pairs"] and Expected(corpus["n_pairs"], corpus["tolerance"])
try:
    index = index_shards(
        expand_shards(corpus["shards"]),
        snakemake.output.index,
        kind="webdataset",
        processes=cores(snakemake),
        max_pixels=corpus["max_pixels"],
        limit=corpus["limit"],
        expected=None if corpus["limit"] else expected,
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
print(*report(index), sep="\n")
