"""Loss landscape: one job per model, on the same mini-batches."""


rule hessian:
    input:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        index=corpus_index_of,
    output:
        result=report(
            "results/{scale}/hessian/{model}-{seed}.json",
            caption="../captions/result.rst",
            category="Source data",
            labels=run_labels("Hessian"),
        ),
    log:
        "results/logs/{scale}/hessian/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/hessian/{model}-{seed}.tsv"
    conda:
        "../../envs/eval.yaml"
    threads: 1
    # The GPU of paper scale is asked for in slurm/config.yaml. A job that runs out of time goes on
    # from the mini-batches that it finished. The demo took 2.4 GB; paper scale is expected to fill the
    # GPU's memory rather than this.
    resources:
        mem_mb=growing(3000, 48000),
        runtime=growing(30, 1440),
    params:
        pieces="results/{scale}/hessian/{model}-{seed}",
        settings=lambda wildcards: study(wildcards)["hessian"],
        recipe=shared_recipe,
        code=code_of_model("measure_hessian"),
    script:
        "../scripts/measure_hessian.py"
