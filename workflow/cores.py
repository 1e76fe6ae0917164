"""How many cores the script of a job may use."""

from __future__ import annotations

import os
from typing import Any

#: Set in jobs of a cluster, by workflow/rules/cluster.smk.
IN_A_JOB = "CLIP_MAMBA_IN_A_JOB"


def cores(job: Any) -> int:
    """Count the cores of a job.

    Args:
        job: ``snakemake``, as a script has it.

    Returns:
        ``cpus_per_task`` in a job of a cluster, which has these for itself; elsewhere ``threads``,
        which Snakemake shares out among the jobs of one machine.
    """
    return job.resources["cpus_per_task"] if IN_A_JOB in os.environ else job.threads
