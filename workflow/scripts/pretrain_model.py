"""Pretrain one model and write its weights and a result."""

import sys
from typing import TYPE_CHECKING

from workflow.logs import tee

if TYPE_CHECKING:
    from snakemake.script import snakemake

tee(snakemake.log[0])

from clip_mamba.training.launch import launch, srun  # noqa: E402 - the log must catch all
from clip_mamba.training.running import Running  # noqa: E402

# Where and how it runs changes no weights. So the script reads it here: as a parameter of the rule,
# a change of it would pretrain finished models again.
training = snakemake.config["scales"][snakemake.wildcards.scale]["training"]
resources = snakemake.resources
launcher = []
if resources.get("mpi"):  # set by the Slurm profile
    launcher = srun(resources.nodes, resources.tasks, resources.cpus_per_task)
job = {
    "model_name": snakemake.wildcards.model,
    "seed": int(snakemake.wildcards.seed),
    "scale": snakemake.wildcards.scale,
    "index": snakemake.input.index,
    "settings": snakemake.params.recipe,
    "folder": snakemake.params.checkpoints,
    "weights": snakemake.output.weights,
    "result": snakemake.output.result,
    "running": Running.from_config({
        **training,
        **({"nodes": 1, "devices": 1} if resources.get("tasks") == 1 else {}),
        "validation_tasks": list(snakemake.input.validation),
    }),
}
sys.exit(launch(job, launcher))
