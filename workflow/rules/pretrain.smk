"""One CLIP model and seed: from shards to EMA weights, resumable."""


rule pretrain:
    input:
        index=corpus_index_of,
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
    threads: 1
    resources:
        mem_mb=2500,
    params:
        checkpoints="results/{scale}/pretrain/{model}-{seed}",
        checkpoint_seconds=lambda wildcards: study(wildcards)["checkpoint_seconds"],
        recipe=recipe,
        code=code(
            "pretrain.py",
            "recipe.py",
            "data/loader.py",
            "data/augment.py",
            *MODEL,
        ),
    script:
        "../scripts/pretrain_model.py"
