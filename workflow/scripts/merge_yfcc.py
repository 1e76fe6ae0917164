"""Join the indices of the slices to that of YFCC15M."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

import json  # noqa: E402

from clip_mamba.data.shard_index import merge_indices, report  # noqa: E402

joined = json.loads(Path(snakemake.input.summary).read_text())
corpus = snakemake.params.corpus
index = merge_indices(
    snakemake.input.parts,
    snakemake.output.index,
    kind="yfcc15m",
    left_out=joined["left_out"],
    listed=joined["listed"],
    repaired_captions=joined["repaired"],
    source={"list": corpus["list"], "images": corpus["images"]},
)
print(*report(index), sep="\n")
if corpus["n_pairs"]:
    print(f"{index['pairs'] / corpus['n_pairs']:.1%} of the {corpus['n_pairs']:,} pairs of n_pairs")
