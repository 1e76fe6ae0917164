"""Let one model decide on every out-of-distribution set."""

from typing import TYPE_CHECKING

from workflow.cores import cores
from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.ood import run  # noqa: E402
from clip_mamba.results import parse_seed  # noqa: E402

run(
    model_name=snakemake.wildcards.model,
    seed=parse_seed(snakemake.wildcards.seed),
    scale=snakemake.wildcards.scale,
    weights=snakemake.input.weights,
    stimuli=dict(zip(snakemake.params.conditions, snakemake.input.stimuli, strict=True)),
    trials=dict(zip(snakemake.params.conditions, snakemake.output.trials, strict=True)),
    results=dict(zip(snakemake.params.conditions, snakemake.output.results, strict=True)),
    decision=snakemake.params.decision,
    split="released stimuli" if snakemake.params.source == "releases" else "held-out objects",
    threads=cores(snakemake),
)
