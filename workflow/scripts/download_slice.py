"""Download one slice of YFCC15M into shards."""

from pathlib import Path
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.data.fetch import FetchError  # noqa: E402
from clip_mamba.data.shard_index import report  # noqa: E402
from clip_mamba.data.yfcc_download import Download, download_slice  # noqa: E402
from workflow.corpora import DOWNLOAD, chosen  # noqa: E402

# How fast and how patiently is not among the rule's parameters: it is no reason to start anew.
corpus = snakemake.config["scales"][snakemake.wildcards.scale]["corpus"]
try:
    index = download_slice(
        snakemake.input.pairs,
        Path(snakemake.output.index).parent,
        number=int(snakemake.wildcards.part),
        slices=snakemake.params.slices,
        python=Path(snakemake.input.environment).parent / "bin" / "python",
        settings=Download(**chosen(corpus, *DOWNLOAD)),
    )
except (FetchError, ValueError) as error:
    raise SystemExit(str(error)) from None
print(*report(index), sep="\n")
