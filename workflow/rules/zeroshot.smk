"""Zero-shot classification, retrieval and linear probing: several tasks to a job, so that a model
is loaded once for all of them; and the pixel baseline."""

# One rule a batch of tasks: `tasks_per_job` says how many share a model load.
for number, batch in enumerate(BATCHES):

    rule:
        name:
            f"zeroshot_{number + 1}" if number else "zeroshot"
        input:
            weights="results/{scale}/weights/{model}-{seed}.safetensors",
            tasks=expand("results/{{scale}}/data/zeroshot/{task}", task=batch),
        output:
            results=expand(
                "results/{{scale}}/zeroshot/{{model}}-{{seed}}/{task}.json", task=batch
            ),
            predictions=expand(
                "results/{{scale}}/zeroshot/{{model}}-{{seed}}/{task}.parquet",
                task=batch,
            ),
        log:
            f"results/logs/{{scale}}/zeroshot/{{model}}-{{seed}}-{number + 1}.log",
        benchmark:
            f"results/{{scale}}/benchmarks/zeroshot/{{model}}-{{seed}}-{number + 1}.tsv"
        wildcard_constraints:
            scale=SCALE,
            model=rf"(?!pixel-1nn){MODEL_NAME}(@[a-z][a-z0-9\-]*)?",
        conda:
            "../../envs/eval.yaml"
        threads: 1
        # In the demo 1.1 GB, as for retrieval and probes below. At paper scale, expected: a model of
        # 1.7 GB, torch with CUDA, and the features of 50,000 pictures.
        resources:
            mem_mb=growing(2000, 16000),
            runtime=growing(60, 480),
        params:
            cache=lambda wildcards: f"results/{wildcards.scale}/cache/classifiers",
            text_code=code_of_model("clip_mamba.classifier", "clip_mamba.factory"),
            code=code_of_model("evaluate_zeroshot"),
        script:
            "../scripts/evaluate_zeroshot.py"


if STUDY["retrieval"]:

    rule retrieval:
        input:
            weights="results/{scale}/weights/{model}-{seed}.safetensors",
            tasks=expand(
                "results/{{scale}}/data/retrieval/{task}", task=STUDY["retrieval"]
            ),
        output:
            results=expand(
                "results/{{scale}}/retrieval/{{model}}-{{seed}}/{task}.json",
                task=STUDY["retrieval"],
            ),
            predictions=expand(
                "results/{{scale}}/retrieval/{{model}}-{{seed}}/{task}.parquet",
                task=STUDY["retrieval"],
            ),
        log:
            "results/logs/{scale}/retrieval/{model}-{seed}.log",
        benchmark:
            "results/{scale}/benchmarks/retrieval/{model}-{seed}.tsv"
        wildcard_constraints:
            scale=SCALE,
        conda:
            "../../envs/eval.yaml"
        threads: 1
        resources:
            mem_mb=growing(2000, 16000),
            runtime=growing(60, 480),
        params:
            code=code_of_model("evaluate_retrieval"),
        script:
            "../scripts/evaluate_retrieval.py"


if STUDY["linear_probe"]:

    rule linear_probe:
        input:
            weights="results/{scale}/weights/{model}-{seed}.safetensors",
            tasks=expand(
                "results/{{scale}}/data/linear-probe/{task}",
                task=STUDY["linear_probe"],
            ),
        output:
            results=expand(
                "results/{{scale}}/linear-probe/{{model}}-{{seed}}/{task}.json",
                task=STUDY["linear_probe"],
            ),
            predictions=expand(
                "results/{{scale}}/linear-probe/{{model}}-{{seed}}/{task}.parquet",
                task=STUDY["linear_probe"],
            ),
        log:
            "results/logs/{scale}/linear-probe/{model}-{seed}.log",
        benchmark:
            "results/{scale}/benchmarks/linear-probe/{model}-{seed}.tsv"
        wildcard_constraints:
            scale=SCALE,
        conda:
            "../../envs/eval.yaml"
        threads: 1
        resources:
            mem_mb=growing(2000, 16000),
            runtime=growing(60, 480),
        params:
            code=code_of_model("evaluate_linear_probe"),
        script:
            "../scripts/evaluate_linear_probe.py"


rule build_emoji_retrieval:
    input:
        task="results/{scale}/data/zeroshot/unseen-style-concept",
        rendered="results/{scale}/data/emoji/rendered.tar",
        categories="data/emoji_categories.tsv",
    output:
        folder=directory("results/{scale}/data/retrieval/unseen-style"),
    log:
        "results/logs/{scale}/data/retrieval-unseen-style.log",
    benchmark:
        "results/{scale}/benchmarks/data/retrieval-unseen-style.tsv"
    wildcard_constraints:
        scale=scales_where("corpus", "kind", "emoji"),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        seed=lambda wildcards: study(wildcards)["corpus"]["seed"],
        code=code("build_emoji_retrieval"),
    script:
        "../scripts/build_emoji_retrieval.py"


rule build_emoji_probe:
    input:
        task="results/{scale}/data/zeroshot/{task}",
        index=corpus_index_of,
    output:
        folder=directory("results/{scale}/data/linear-probe/{task}"),
    log:
        "results/logs/{scale}/data/probe-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/probe-{task}.tsv"
    wildcard_constraints:
        scale=scales_where("corpus", "kind", "emoji"),
        task="unseen-.+",
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        seed=lambda wildcards: study(wildcards)["corpus"]["seed"],
        examples=2000,
        code=code("build_emoji_probe"),
    script:
        "../scripts/build_emoji_probe.py"


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
    # The demo took 1.4 GB.
    resources:
        mem_mb=growing(3000),
    params:
        image_size=lambda wildcards: study(wildcards)["image_size"],
        code=code("evaluate_baseline"),
    script:
        "../scripts/evaluate_baseline.py"
