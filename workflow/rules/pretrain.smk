"""One CLIP model and seed: from shards to EMA weights, resumable."""


rule pretrain:
    input:
        index="results/{scale}/data/emoji/train/index.json",
    output:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        result="results/{scale}/pretrain/{model}-{seed}.json",
    log:
        "results/logs/{scale}/pretrain/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/pretrain/{model}-{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2500,
    params:
        checkpoints="results/{scale}/pretrain/{model}-{seed}",
        recipe=recipe,
        threads=1,
        code=code(
            "pretrain.py",
            "recipe.py",
            "data/loader.py",
            "data/augment.py",
            "models/*.py",
            "models/configs/*.json",
            "ops/*.py",
        ),
    script:
        "../scripts/pretrain_model.py"
