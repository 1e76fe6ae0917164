"""Turn one file of the reference's layout into shards."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.shard_index import report  # noqa: E402
from clip_mamba.data.tsv_corpus import convert  # noqa: E402
from workflow.corpora import share  # noqa: E402

corpus = snakemake.params.corpus
try:
    index = convert(
        corpus["folder"],
        int(snakemake.wildcards.part),
        Path(snakemake.output.index).parent,
        per_shard=corpus["per_shard"],
        processes=cores(snakemake),
        max_pixels=corpus["max_pixels"],
        limit=share(corpus["limit"], len(snakemake.input.images)),
    )
except ValueError as error:
    raise SystemExit(str(error)) from None
print(*report(index), sep="\n")
