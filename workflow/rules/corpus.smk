"""Corpora beside the emoji: YFCC15M, a user's own shards, the reference's TSV files. Each ends in
an index of shards, train/index.json; large ones are made in parts, one job each."""

RAW_YFCC = "results/{scale}/data/yfcc15m/raw"


rule fetch_yfcc:
    output:
        file="results/{scale}/data/yfcc15m/raw/{file}",
    log:
        "results/logs/{scale}/data/yfcc15m/fetch-{file}.log",
    benchmark:
        "results/{scale}/benchmarks/data/yfcc15m/fetch-{file}.tsv"
    wildcard_constraints:
        file="[^/]+",
    conda:
        "../../envs/eval.yaml"
    # A stream to a file; 65 GB of metadata take a day at 0.8 MB/s.
    resources:
        mem_mb=1000,
        runtime=growing(30, 1440),
    params:
        url=lambda wildcards: corpora.addresses(study(wildcards)["corpus"])[
            wildcards.file
        ],
    script:
        "../scripts/fetch_url.py"


rule join_yfcc:
    input:
        listing=lambda wildcards: corpora.listing(study(wildcards)["corpus"], RAW_YFCC),
        metadata=lambda wildcards: corpora.metadata(
            study(wildcards)["corpus"], RAW_YFCC
        ),
    output:
        pairs="results/{scale}/data/yfcc15m/pairs.parquet",
        summary="results/{scale}/data/yfcc15m/pairs.json",
    log:
        "results/logs/{scale}/data/yfcc15m/join.log",
    benchmark:
        "results/{scale}/benchmarks/data/yfcc15m/join.tsv"
    conda:
        "../../envs/eval.yaml"
    # At paper scale, here and below, expected and not measured: 15 million pairs, 65 GB of metadata
    # to read.
    resources:
        mem_mb=growing(1500, 12000),
        runtime=growing(30, 720),
    params:
        corpus=lambda wildcards: corpora.chosen(
            study(wildcards)["corpus"],
            "images",
            "listed",
            "n_pairs",
            "tolerance",
            "limit",
        ),
        code=code("join_yfcc"),
    script:
        "../scripts/join_yfcc.py"


rule make_download_environment:
    input:
        requirements="requirements-download.txt",
    output:
        mark="results/environments/img2dataset/installed",
    log:
        "results/logs/environments/img2dataset.log",
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=1500,
    script:
        "../scripts/make_download_environment.py"


rule download_yfcc:
    input:
        pairs="results/{scale}/data/yfcc15m/pairs.parquet",
        summary="results/{scale}/data/yfcc15m/pairs.json",
        environment=ancient("results/environments/img2dataset/installed"),
    output:
        index="results/{scale}/data/yfcc15m/train/slice-{part}/index.json",
        samples="results/{scale}/data/yfcc15m/train/slice-{part}/samples.parquet",
    log:
        "results/logs/{scale}/data/yfcc15m/slice-{part}.log",
    benchmark:
        "results/{scale}/benchmarks/data/yfcc15m/slice-{part}.tsv"
    wildcard_constraints:
        part=r"\d{5}",
    conda:
        "../../envs/eval.yaml"
    threads: lambda wildcards: study(wildcards)["corpus"]["processes"]
    # Expected: 4 GB a process, each with 64 pictures under way; a day for 115,000 pictures is 1.3 a
    # second, far below what a network gives.
    resources:
        mem_mb=growing(2000, 16000),
        runtime=growing(60, 1440),
        cpus_per_task=lambda wildcards: study(wildcards)["corpus"]["processes"],
    params:
        slices=lambda wildcards: study(wildcards)["corpus"]["slices"],
        # Those that decide what the shards hold; the script reads the others beside them.
        settings=lambda wildcards: corpora.chosen(
            study(wildcards)["corpus"], "image_size", "per_shard", "max_pixels"
        ),
        # What is complete is not downloaded again, but indexed.
        code=code("clip_mamba.data.shard_index"),
    script:
        "../scripts/download_slice.py"


rule index_yfcc:
    input:
        parts=lambda wildcards: corpora.slices(
            study(wildcards)["corpus"], "results/{scale}/data/yfcc15m/train"
        ),
        summary="results/{scale}/data/yfcc15m/pairs.json",
    output:
        index="results/{scale}/data/yfcc15m/train/index.json",
        samples="results/{scale}/data/yfcc15m/train/samples.parquet",
    log:
        "results/logs/{scale}/data/yfcc15m/index.log",
    benchmark:
        "results/{scale}/benchmarks/data/yfcc15m/index.tsv"
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(1500, 8000),
    params:
        corpus=lambda wildcards: corpora.chosen(
            study(wildcards)["corpus"], "list", "images", "n_pairs"
        ),
        code=code("merge_yfcc"),
    script:
        "../scripts/merge_yfcc.py"


rule index_webdataset:
    output:
        index="results/{scale}/data/webdataset/train/index.json",
        samples="results/{scale}/data/webdataset/train/samples.parquet",
    log:
        "results/logs/{scale}/data/webdataset/index.log",
    benchmark:
        "results/{scale}/benchmarks/data/webdataset/index.tsv"
    conda:
        "../../envs/eval.yaml"
    threads: 8
    resources:
        mem_mb=growing(2000, 8000),
        runtime=growing(60, 720),
        cpus_per_task=8,
    params:
        corpus=lambda wildcards: corpora.chosen(
            study(wildcards)["corpus"],
            "shards",
            "n_pairs",
            "tolerance",
            "limit",
            "max_pixels",
        ),
        state=lambda wildcards: corpora.state(study(wildcards)["corpus"]["shards"]),
        code=code("index_webdataset"),
    script:
        "../scripts/index_webdataset.py"


rule convert_tsv:
    input:
        images=lambda wildcards: corpora.tsv_images(study(wildcards)["corpus"]),
        annotations=lambda wildcards: corpora.tsv_annotations(
            study(wildcards)["corpus"], int(wildcards.part)
        ),
    output:
        index="results/{scale}/data/tsv/train/part-{part}/index.json",
        samples="results/{scale}/data/tsv/train/part-{part}/samples.parquet",
    log:
        "results/logs/{scale}/data/tsv/part-{part}.log",
    benchmark:
        "results/{scale}/benchmarks/data/tsv/part-{part}.tsv"
    wildcard_constraints:
        part=r"\d{5}",
    conda:
        "../../envs/eval.yaml"
    threads: 4
    resources:
        mem_mb=growing(2000, 16000),
        runtime=growing(60, 720),
        cpus_per_task=4,
    params:
        corpus=lambda wildcards: corpora.chosen(
            study(wildcards)["corpus"], "folder", "per_shard", "limit", "max_pixels"
        ),
        code=code("convert_tsv"),
    script:
        "../scripts/convert_tsv.py"


rule index_tsv:
    input:
        parts=lambda wildcards: corpora.tsv_parts(
            study(wildcards)["corpus"], "results/{scale}/data/tsv/train"
        ),
    output:
        index="results/{scale}/data/tsv/train/index.json",
        samples="results/{scale}/data/tsv/train/samples.parquet",
    log:
        "results/logs/{scale}/data/tsv/index.log",
    benchmark:
        "results/{scale}/benchmarks/data/tsv/index.tsv"
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(1500, 8000),
    params:
        corpus=lambda wildcards: corpora.chosen(
            study(wildcards)["corpus"], "folder", "n_pairs", "tolerance", "limit"
        ),
        code=code("merge_tsv"),
    script:
        "../scripts/merge_tsv.py"
