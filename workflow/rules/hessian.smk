"""Loss landscape: one job per model, on the same mini-batches."""


rule hessian:
    input:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        index=corpus_index_of,
    output:
        result="results/{scale}/hessian/{model}-{seed}.json",
    log:
        "results/logs/{scale}/hessian/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/hessian/{model}-{seed}.tsv"
    conda:
        "../../envs/eval.yaml"
    threads: 1
    resources:
        mem_mb=3000,
    params:
        settings=lambda wildcards: study(wildcards)["hessian"],
        recipe=recipe,
        code=code(
            "hessian/*.py",
            "data/loader.py",
            *MODEL,
        ),
    script:
        "../scripts/measure_hessian.py"
