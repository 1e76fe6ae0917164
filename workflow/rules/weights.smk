"""Weights that were not pretrained here: the original release's, or a user's own."""


rule fetch_released:
    output:
        checkpoint="results/{scale}/data/released/{model}.pt",
    log:
        "results/logs/{scale}/data/released-{model}.log",
    benchmark:
        "results/{scale}/benchmarks/data/released-{model}.tsv"
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=1000,
    params:
        row=lambda wildcards: repr(read_released().get(wildcards.model)),
    script:
        "../scripts/fetch_released.py"


rule convert_released:
    input:
        checkpoint="results/{scale}/data/released/{model}.pt",
    output:
        weights="results/{scale}/weights/{model}-released.safetensors",
    log:
        "results/logs/{scale}/weights/{model}-released.log",
    benchmark:
        "results/{scale}/benchmarks/weights/{model}-released.tsv"
    conda:
        "../../envs/eval.yaml"
    # Expected: a checkpoint with its optimiser is read whole, 5 GB for 428 million parameters.
    resources:
        mem_mb=growing(8000, 16000),
    params:
        code=code_of_model("convert_weights", "clip_mamba.released"),
    script:
        "../scripts/convert_weights.py"


rule convert_given:
    input:
        checkpoint=given_weights,
    output:
        weights="results/{scale}/weights/{model}-given.safetensors",
    log:
        "results/logs/{scale}/weights/{model}-given.log",
    benchmark:
        "results/{scale}/benchmarks/weights/{model}-given.tsv"
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(8000, 16000),
    params:
        code=code_of_model("convert_weights", "clip_mamba.released"),
    script:
        "../scripts/convert_weights.py"
