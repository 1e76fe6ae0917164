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
    # The GPU of paper scale is asked for in slurm/config.yaml. A job that runs out of time goes on
    # from the mini-batches that it finished.
    resources:
        mem_mb=growing(3000, 48000),
        runtime=growing(30, 1440),
    params:
        pieces="results/{scale}/hessian/{model}-{seed}",
        settings=lambda wildcards: study(wildcards)["hessian"],
        recipe=shared_recipe,
        code=code(
            "hessian/*.py",
            "data/augment.py",
            "data/normalize.py",
            "data/pairs.py",
            *MODEL,
        ),
    script:
        "../scripts/measure_hessian.py"
