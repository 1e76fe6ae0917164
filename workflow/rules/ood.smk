"""Out-of-distribution sets, people's answers, and one job per model that decides on all sets."""


rule build_ood_base:
    input:
        archives=ood_archives,
        categories="data/ood_categories.tsv",
    output:
        base="results/{scale}/data/ood/base.tar",
        facts="results/{scale}/data/ood/base.json",
    log:
        "results/logs/{scale}/data/ood-base.log",
    benchmark:
        "results/{scale}/benchmarks/data/ood-base.tsv"
    wildcard_constraints:
        scale=scales_where("ood", "source", "drawings"),
    conda:
        "../../envs/eval.yaml"
    # Sets took at most 0.3 GB in the demo; the rest, here and below, is room for larger pictures.
    resources:
        mem_mb=growing(2000),
    params:
        seed=drawing_seed,
        code=code("build_ood_base"),
    script:
        "../scripts/build_ood_base.py"


rule make_stimuli:
    input:
        base="results/{scale}/data/ood/base.tar",
    output:
        stimuli="results/{scale}/data/ood/stimuli/{condition}.tar",
    log:
        "results/logs/{scale}/data/stimuli-{condition}.log",
    benchmark:
        "results/{scale}/benchmarks/data/stimuli-{condition}.tsv"
    wildcard_constraints:
        scale=scales_where("ood", "source", "drawings"),
        condition="|".join(PUBLISHED),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        levels=lambda wildcards: study(wildcards)["ood"]["levels"][wildcards.condition],
        per_category=lambda wildcards: study(wildcards)["ood"]["per_category"],
        image_size=lambda wildcards: study(wildcards)["image_size"],
        seed=drawing_seed,
        code=code("make_stimuli"),
    script:
        "../scripts/make_stimuli.py"


rule fetch_release:
    output:
        archive="results/{scale}/data/ood/releases/{condition}.tar.gz",
    log:
        "results/logs/{scale}/data/release-{condition}.log",
    benchmark:
        "results/{scale}/benchmarks/data/release-{condition}.tsv"
    wildcard_constraints:
        scale=scales_where("ood", "source", "releases"),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=500,
    params:
        table=lambda wildcards: study(wildcards)["ood"]["table"],
        row=released_set,
    script:
        "../scripts/fetch_release.py"


rule repack_release:
    input:
        archive="results/{scale}/data/ood/releases/{condition}.tar.gz",
    output:
        stimuli="results/{scale}/data/ood/stimuli/{condition}.tar",
    log:
        "results/logs/{scale}/data/stimuli-{condition}.log",
    benchmark:
        "results/{scale}/benchmarks/data/stimuli-{condition}.tsv"
    wildcard_constraints:
        scale=scales_where("ood", "source", "releases"),
        condition="|".join(PUBLISHED),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000, 4000),
    params:
        table=lambda wildcards: study(wildcards)["ood"]["table"],
        row=released_set,
        code=code("repack_release"),
    script:
        "../scripts/repack_release.py"


rule pack_ood_folder:
    input:
        folder=lambda wildcards: study(wildcards)["ood"]["folders"][
            wildcards.condition
        ]["folder"],
    output:
        stimuli="results/{scale}/data/ood/stimuli/{condition}.tar",
    log:
        "results/logs/{scale}/data/stimuli-{condition}.log",
    benchmark:
        "results/{scale}/benchmarks/data/stimuli-{condition}.tsv"
    wildcard_constraints:
        condition=own_conditions(),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        levels=lambda wildcards: study(wildcards)["ood"]["folders"][
            wildcards.condition
        ]["levels"],
        state=lambda wildcards, input: corpora.folder_state(input.folder),
        code=code("pack_ood_folder"),
    script:
        "../scripts/pack_ood_folder.py"


rule fetch_humans:
    output:
        trials=directory("results/{scale}/data/ood/humans/{condition}"),
    log:
        "results/logs/{scale}/data/humans-{condition}.log",
    wildcard_constraints:
        scale=scales_where("ood", "source", "releases"),
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=500,
    params:
        table=lambda wildcards: study(wildcards)["ood"]["table"],
        row=released_set,
        code=code("fetch_humans"),
    script:
        "../scripts/fetch_humans.py"


rule ood:
    input:
        weights="results/{scale}/weights/{model}-{seed}.safetensors",
        stimuli=expand(
            "results/{{scale}}/data/ood/stimuli/{condition}.tar", condition=CONDITIONS
        ),
    output:
        trials=expand(
            "results/{{scale}}/ood/{{model}}-{{seed}}/{condition}.csv",
            condition=CONDITIONS,
        ),
        results=expand(
            "results/{{scale}}/ood/{{model}}-{{seed}}/{condition}.json",
            condition=CONDITIONS,
        ),
    log:
        "results/logs/{scale}/ood/{model}-{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/ood/{model}-{seed}.tsv"
    wildcard_constraints:
        scale=SCALE,
    conda:
        "../../envs/eval.yaml"
    threads: 1
    # The demo took 1.4 GB. At paper scale not measured, hence generous: ImageNet's 1,000 classes are
    # scored on 17 sets.
    resources:
        mem_mb=growing(3000, 32000),
        runtime=growing(60, 480),
    params:
        conditions=CONDITIONS,
        source=lambda wildcards: study(wildcards)["ood"]["source"],
        decision=lambda wildcards: study(wildcards)["ood"]["decision"],
        code=code_of_model("evaluate_ood"),
    script:
        "../scripts/evaluate_ood.py"


rule plot_conditions:
    input:
        csv="results/tables/ood.csv",
    output:
        pdf=expand("results/figures/ood-{condition}.pdf", condition=CONDITIONS),
        png=expand("results/figures/ood-{condition}.png", condition=CONDITIONS),
        html=[
            report(
                f"results/figures/ood-{condition}.html",
                caption="../captions/condition.rst",
                category="Figures by condition",
                labels={"task": "OOD", "condition": condition, "model": "all"},
            )
            for condition in CONDITIONS
        ],
    log:
        "results/logs/figures/ood-conditions.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        conditions=CONDITIONS,
        code=code("plot_conditions"),
    script:
        "../scripts/plot_conditions.py"


rule toolbox:
    input:
        trials=expand(
            "results/{{scale}}/ood/{run}/{condition}.csv",
            run=RUNS,
            condition=CONDITIONS,
        ),
        humans=human_trials(),
    output:
        folder=directory("results/{scale}/ood/toolbox/raw-data"),
    log:
        "results/logs/{scale}/ood/toolbox.log",
    wildcard_constraints:
        scale=SCALE,
    conda:
        "../../envs/eval.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        code=code("export_trials"),
    script:
        "../scripts/export_trials.py"
