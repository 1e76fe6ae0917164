"""Out-of-distribution sets, and one job per model that decides on all of them."""


rule build_ood_base:
    input:
        archives=ood_archives,
    output:
        base="results/{scale}/data/ood/base.tar",
        facts="results/{scale}/data/ood/base.json",
    log:
        "results/logs/{scale}/data/ood-base.log",
    benchmark:
        "results/{scale}/benchmarks/data/ood-base.tsv"
    wildcard_constraints:
        scale=scales_where("ood", "source", "drawings"),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=1000,
    params:
        seed=lambda wildcards: study(wildcards)["corpus"]["seed"],
        code=code("data/ood_base.py", "data/drawings.py", "data/render.py"),
    script:
        "../scripts/build_ood_base.py"


rule make_stimuli:
    input:
        base="results/{scale}/data/ood/base.tar",
    output:
        stimuli="results/{scale}/data/ood/stimuli/{condition}.tar",
    log:
        "results/logs/{scale}/data/stimuli-{condition}.log",
    benchmark:
        "results/{scale}/benchmarks/data/stimuli-{condition}.tsv"
    wildcard_constraints:
        scale=scales_where("ood", "source", "drawings"),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=1500,
    params:
        levels=lambda wildcards: study(wildcards)["ood"]["levels"][wildcards.condition],
        per_category=lambda wildcards: study(wildcards)["ood"]["per_category"],
        image_size=lambda wildcards: study(wildcards)["image_size"],
        seed=lambda wildcards: study(wildcards)["corpus"]["seed"],
        code=code("stimuli.py", "corruptions/*.py", "data/compose.py"),
    script:
        "../scripts/make_stimuli.py"


rule ood:
    input:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        stimuli=expand(
            "results/{{scale}}/data/ood/stimuli/{condition}.tar", condition=CONDITIONS
        ),
    output:
        trials=expand(
            "results/{{scale}}/ood/{{model}}-{{seed}}/{condition}.csv",
            condition=CONDITIONS,
        ),
        results=expand(
            "results/{{scale}}/ood/{{model}}-{{seed}}/{condition}.json",
            condition=CONDITIONS,
        ),
    log:
        "results/logs/{scale}/ood/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/ood/{model}-{seed}.tsv"
    wildcard_constraints:
        scale=SCALE,
    conda:
        "../../envs/eval.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        conditions=CONDITIONS,
        code=code(
            "ood.py",
            "ood_metrics.py",
            "statistics.py",
            "zeroshot.py",
            *MODEL,
        ),
    script:
        "../scripts/evaluate_ood.py"
