"""Zero-shot classification: all tasks of one model in one job, and the pixel baseline."""


rule zeroshot:
    input:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        tasks=expand("results/{{scale}}/data/zeroshot/{task}", task=STUDY["zeroshot"]),
    output:
        results=expand(
            "results/{{scale}}/zeroshot/{{model}}-{{seed}}/{task}.json",
            task=STUDY["zeroshot"],
        ),
        predictions=expand(
            "results/{{scale}}/zeroshot/{{model}}-{{seed}}/{task}.parquet",
            task=STUDY["zeroshot"],
        ),
    log:
        "results/logs/{scale}/zeroshot/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/zeroshot/{model}-{seed}.tsv"
    wildcard_constraints:
        scale=SCALE,
    conda:
        "../../envs/eval.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        code=code(
            "zeroshot.py",
            "statistics.py",
            "data/tasks.py",
            *MODEL,
        ),
    script:
        "../scripts/evaluate_zeroshot.py"


rule pixel_baseline:
    input:
        index=corpus_index_of,
        tasks=expand("results/{{scale}}/data/zeroshot/{task}", task=STUDY["zeroshot"]),
    output:
        results=expand(
            "results/{{scale}}/zeroshot/pixel-1nn-0/{task}.json",
            task=STUDY["zeroshot"],
        ),
    log:
        "results/logs/{scale}/zeroshot/pixel-1nn.log",
    benchmark:
        "results/{scale}/benchmarks/zeroshot/pixel-1nn.tsv"
    wildcard_constraints:
        scale=SCALE,
    conda:
        "../../envs/eval.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        image_size=lambda wildcards: study(wildcards)["image_size"],
        code=code("baselines.py", "statistics.py", "data/tasks.py", "data/shards.py"),
    script:
        "../scripts/evaluate_baseline.py"


ruleorder: pixel_baseline > zeroshot
