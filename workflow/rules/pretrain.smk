"""One CLIP model and seed: from shards to EMA weights, resumable."""


rule pretrain:
    input:
        index=corpus_index_of,
        validation=validation_tasks,
    output:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        result="results/{scale}/pretrain/{model}-{seed}.json",
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
    resources:
        mem_mb=lambda wildcards: 2500 * processes(wildcards),
    params:
        checkpoints="results/{scale}/pretrain/{model}-{seed}",
        training=lambda wildcards: study(wildcards)["training"],
        recipe=recipe,
        code=code(
            "pretrain.py",
            "ema.py",
            "recipe.py",
            "training/*.py",
            "data/augment.py",
            "data/batches.py",
            "data/cached.py",
            "data/colour.py",
            "data/normalize.py",
            "data/order.py",
            "data/pairs.py",
            "data/resize.py",
            "data/streamed.py",
            *MODEL,
        ),
    script:
        "../scripts/pretrain_model.py"
