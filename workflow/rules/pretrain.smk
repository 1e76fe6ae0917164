"""One CLIP model and seed: from shards to EMA weights, resumable."""


rule pretrain:
    input:
        index=corpus_index_of,
        validation=validation_tasks,
    output:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        result=report(
            "results/{scale}/pretrain/{model}-{seed}.json",
            caption="../captions/result.rst",
            category="Source data",
            labels=run_labels("pretraining"),
        ),
    log:
        "results/logs/{scale}/pretrain/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/pretrain/{model}-{seed}.tsv"
    wildcard_constraints:
        seed=r"\d+",
    # The longest jobs go first, so that the short ones fill the gaps at the end.
    priority: 10
    conda:
        "../../envs/train.yaml"
    threads: lambda wildcards: processes(wildcards)
    # A process of the demo took 1.5 GB. On a cluster the profile says what a node gives.
    resources:
        mem_mb=lambda wildcards: 2500 * processes(wildcards),
    params:
        checkpoints="results/{scale}/pretrain/{model}-{seed}",
        recipe=recipe,
        code=code_of_model("pretrain_model", "clip_mamba.pretrain"),
    script:
        "../scripts/pretrain_model.py"
