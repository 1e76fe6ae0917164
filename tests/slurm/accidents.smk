"""Small jobs that meet what jobs meet on a cluster (test_accidents.py)."""

import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from workflow import cluster, failures


configfile: "config.yaml"


include: "workflow/rules/cluster.smk"


rule all:
    default_target: True
    input:
        expand(
            "done/{job}",
            job=["hungry", "slow", "stranded", "cancelled", "broken", "after"],
        ),


rule hungry:
    output:
        "done/hungry",
    log:
        "logs/hungry.log",
    resources:
        mem_mb=lambda wildcards, attempt: 600 * attempt,
    shell:
        "echo {resources.mem_mb} >> attempts-hungry;"
        " python3 -c 'import time; full = b\"x\" * 700_000_000; time.sleep(8)' 2> {log};"
        " touch {output}"


rule slow:
    output:
        "done/slow",
    log:
        "logs/slow.log",
    resources:
        runtime=lambda wildcards, attempt: attempt,
    shell:
        "echo {resources.runtime} >> attempts-slow;"
        " [ {resources.runtime} = 2 ] || sleep 300;"
        " touch {output}"


# The first time these two wait to be struck.
rule stranded:
    output:
        "done/stranded",
    log:
        "logs/stranded.log",
    shell:
        "echo $SLURMD_NODENAME >> attempts-stranded;"
        " [ $(wc -l < attempts-stranded) -ge 2 ] || sleep 300; touch {output}"


rule cancelled:
    output:
        "done/cancelled",
    log:
        "logs/cancelled.log",
    shell:
        "echo try >> attempts-cancelled;"
        " [ $(wc -l < attempts-cancelled) -ge 2 ] || sleep 300; touch {output}"


rule broken:
    output:
        "done/broken",
    log:
        "logs/broken.log",
    shell:
        "echo try >> attempts-broken; echo 'the disk is full' > {log}; exit 3"


rule fine:
    output:
        "done/fine",
    log:
        "logs/fine.log",
    shell:
        "echo try >> attempts-fine; touch {output}"


rule after:
    input:
        "done/fine",
    output:
        "done/after",
    log:
        "logs/after.log",
    shell:
        "echo try >> attempts-after; [ -e go ] || sleep 300; touch {output}"


# Named as a rule for which the profile asks for a GPU. In a job, workflow/cores.py counts its cores.
rule ood:
    output:
        "done/gpu",
    log:
        "logs/gpu.log",
    shell:
        "echo $SLURM_JOB_PARTITION $CUDA_VISIBLE_DEVICES $CLIP_MAMBA_IN_A_JOB > {output}"
