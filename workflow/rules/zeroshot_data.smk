"""The report's 26 zero-shot tasks and the retrieval sets: downloads and preparation."""


rule fetch_prompts:
    output:
        labels="results/{scale}/data/raw/slip/labels.json",
        templates="results/{scale}/data/raw/slip/templates.json",
    log:
        "results/logs/{scale}/data/fetch-prompts.log",
    benchmark:
        "results/{scale}/benchmarks/data/fetch-prompts.tsv"
    conda:
        "../../envs/eval.yaml"
    params:
        code=code("fetch_prompts"),
    script:
        "../scripts/fetch_prompts.py"


# The files lie beside their list, undeclared: an interrupted download goes on where it was.
rule fetch_task:
    output:
        manifest="results/{scale}/data/raw/zeroshot/{task}/{part}.json",
    log:
        "results/logs/{scale}/data/fetch-{task}-{part}.log",
    benchmark:
        "results/{scale}/benchmarks/data/fetch-{task}-{part}.tsv"
    wildcard_constraints:
        task="|".join(name for name, entry in ZEROSHOT.items() if not entry.gated),
        part="test|train",
    conda:
        "../../envs/eval.yaml"
    params:
        source=lambda wildcards: ZEROSHOT[wildcards.task].source,
    script:
        "../scripts/fetch_task.py"


rule prepare_task:
    input:
        prompts=rules.fetch_prompts.output,
        manifest=task_downloads("test"),
    output:
        task=directory("results/{scale}/data/zeroshot/{task}"),
    log:
        "results/logs/{scale}/data/task-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/task-{task}.tsv"
    wildcard_constraints:
        task="|".join(ZEROSHOT),
    conda:
        "../../envs/eval.yaml"
    # Pictures decoded at once; clipped to the cores that there are.
    threads: 4
    # Expected, not measured, as all numbers for paper scale in this file: pictures pass one by one, so
    # that memory goes into lists and tables; the hours are for archives of 100 GB on network disks.
    resources:
        mem_mb=growing(2000, 16000),
        runtime=growing(60, 720),
        cpus_per_task=4,
    params:
        folder=gated_folder,
        entry=lambda wildcards: repr(ZEROSHOT[wildcards.task]),
        order=label_order,
        code=code("prepare_task"),
    script:
        "../scripts/prepare_task.py"


rule prepare_probe:
    input:
        prompts=rules.fetch_prompts.output,
        task="results/{scale}/data/zeroshot/{task}",
        manifest=task_downloads("train"),
    output:
        task=directory("results/{scale}/data/linear-probe/{task}"),
    log:
        "results/logs/{scale}/data/probe-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/probe-{task}.tsv"
    wildcard_constraints:
        task="|".join(name for name, entry in ZEROSHOT.items() if entry.train),
    conda:
        "../../envs/eval.yaml"
    threads: 4
    resources:
        mem_mb=growing(2000, 16000),
        runtime=growing(60, 1440),
        cpus_per_task=4,
    params:
        folder=gated_folder,
        entry=lambda wildcards: repr(ZEROSHOT[wildcards.task]),
        order=label_order,
        code=code("prepare_probe"),
    script:
        "../scripts/prepare_probe.py"


rule fetch_retrieval:
    output:
        manifest="results/{scale}/data/raw/retrieval/{task}/test.json",
    log:
        "results/logs/{scale}/data/fetch-retrieval-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/fetch-retrieval-{task}.tsv"
    wildcard_constraints:
        task="|".join(RETRIEVAL_SETS),
    conda:
        "../../envs/eval.yaml"
    params:
        source=lambda wildcards: RETRIEVAL_SETS[wildcards.task].source,
    script:
        "../scripts/fetch_retrieval.py"


rule prepare_retrieval:
    input:
        manifest="results/{scale}/data/raw/retrieval/{task}/test.json",
    output:
        folder=directory("results/{scale}/data/retrieval/{task}"),
    log:
        "results/logs/{scale}/data/retrieval-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/retrieval-{task}.tsv"
    wildcard_constraints:
        task="|".join(RETRIEVAL_SETS),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000, 16000),
        runtime=growing(60, 240),
    params:
        entry=lambda wildcards: repr(RETRIEVAL_SETS[wildcards.task]),
        code=code("prepare_retrieval"),
    script:
        "../scripts/prepare_retrieval.py"


# The demo's MNIST comes from a package instead.
ruleorder: build_mnist > prepare_task
