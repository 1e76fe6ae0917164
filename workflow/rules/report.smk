"""Tables, figures and the report: cheap renderings of the configured scale."""


rule table_models:
    input:
        results=expand(
            "results/{scale}/pretrain/{run}.json", scale=SCALE, run=PRETRAINED
        ),
        template="paper/tables/models.tex.j2",
    output:
        csv=report(
            "results/tables/models.csv",
            caption="../captions/table.rst",
            category="Source data",
            labels={"table": "models"},
        ),
        tex="results/tables/models.tex",
        html=report(
            "results/tables/models.html",
            caption="../captions/table.rst",
            category="Tables",
            labels={"table": "models"},
        ),
    log:
        "results/logs/tables/models.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        name="models",
        scale=SCALE,
        models=STUDY["models"],
        code=code("tables/*.py"),
    script:
        "../scripts/make_table.py"


rule table_zeroshot:
    input:
        results=expand(
            "results/{scale}/zeroshot/{run}/{task}.json",
            scale=SCALE,
            run=[*BASELINES, *RUNS],
            task=STUDY["zeroshot"],
        ),
        published="paper/published/zeroshot.csv",
        titles="data/zeroshot.tsv",
        template="paper/tables/zeroshot.tex.j2",
    output:
        csv=report(
            "results/tables/zeroshot.csv",
            caption="../captions/table.rst",
            category="Source data",
            labels={"table": "zeroshot"},
        ),
        tex="results/tables/zeroshot.tex",
        html=report(
            "results/tables/zeroshot.html",
            caption="../captions/table.rst",
            category="Tables",
            labels={"table": "zeroshot"},
        ),
    log:
        "results/logs/tables/zeroshot.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        name="zeroshot",
        scale=SCALE,
        models=STUDY["models"],
        tasks=STUDY["zeroshot"],
        code=code("tables/*.py"),
    script:
        "../scripts/make_table.py"


rule table_ood:
    input:
        results=expand(
            "results/{scale}/ood/{run}/{condition}.json",
            scale=SCALE,
            run=RUNS,
            condition=CONDITIONS,
        ),
        trials=expand(
            "results/{scale}/ood/{run}/{condition}.csv",
            scale=SCALE,
            run=RUNS,
            condition=CONDITIONS,
        ),
        humans=human_trials(),
        template="paper/tables/ood.tex.j2",
    output:
        csv=report(
            "results/tables/ood.csv",
            caption="../captions/table.rst",
            category="Source data",
            labels={"table": "ood"},
        ),
        tex="results/tables/ood.tex",
        html=report(
            "results/tables/ood.html",
            caption="../captions/table.rst",
            category="Tables",
            labels={"table": "ood"},
        ),
    log:
        "results/logs/tables/ood.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        name="ood",
        scale=SCALE,
        models=STUDY["models"],
        code=code("tables/*.py", "ood/*.py", "data/humans.py"),
    script:
        "../scripts/make_table.py"


rule table_hessian:
    input:
        results=expand("results/{scale}/hessian/{run}.json", scale=SCALE, run=RUNS),
        template="paper/tables/hessian.tex.j2",
    output:
        csv=report(
            "results/tables/hessian.csv",
            caption="../captions/table.rst",
            category="Source data",
            labels={"table": "hessian"},
        ),
        tex="results/tables/hessian.tex",
        html=report(
            "results/tables/hessian.html",
            caption="../captions/table.rst",
            category="Tables",
            labels={"table": "hessian"},
        ),
    log:
        "results/logs/tables/hessian.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        name="hessian",
        scale=SCALE,
        models=STUDY["models"],
        code=code("tables/*.py"),
    script:
        "../scripts/make_table.py"


rule table_claims:
    input:
        zeroshot=expand(
            "results/{scale}/zeroshot/{run}/{task}.json",
            scale=SCALE,
            run=RUNS,
            task=STUDY["zeroshot"],
        ),
        predictions=expand(
            "results/{scale}/zeroshot/{run}/{task}.parquet",
            scale=SCALE,
            run=RUNS,
            task=STUDY["zeroshot"],
        ),
        ood=expand(
            "results/{scale}/ood/{run}/{condition}.json",
            scale=SCALE,
            run=RUNS,
            condition=CONDITIONS,
        ),
        trials=expand(
            "results/{scale}/ood/{run}/{condition}.csv",
            scale=SCALE,
            run=RUNS,
            condition=CONDITIONS,
        ),
        hessian=expand("results/{scale}/hessian/{run}.json", scale=SCALE, run=RUNS),
        template="paper/tables/claims.tex.j2",
    output:
        csv=report(
            "results/tables/claims.csv",
            caption="../captions/table.rst",
            category="Source data",
            labels={"table": "claims"},
        ),
        tex="results/tables/claims.tex",
        html=report(
            "results/tables/claims.html",
            caption="../captions/table.rst",
            category="Tables",
            labels={"table": "claims"},
        ),
    log:
        "results/logs/tables/claims.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        scale=SCALE,
        code=code(
            "claims/*.py", "tables/*.py", "ood/*.py", "metrics.py", "statistics.py"
        ),
    script:
        "../scripts/make_claims_table.py"


rule plot_table:
    input:
        csv=lambda wildcards: f"results/tables/{FIGURES_OF_TABLES[wildcards.figure]}.csv",
    output:
        pdf="results/figures/{figure}.pdf",
        png=report(
            "results/figures/{figure}.png",
            caption="../captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES_OF_TABLES),
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        scale=SCALE,
        code=code("figures/*.py", "style/*"),
    script:
        "../scripts/plot_table.py"


rule plot_results:
    input:
        results=lambda wildcards: expand(
            "results/{scale}/{kind}/{run}.json",
            scale=SCALE,
            kind=FIGURES_OF_RESULTS[wildcards.figure],
            run=runs_of_kind(FIGURES_OF_RESULTS[wildcards.figure]),
        ),
    output:
        pdf="results/figures/{figure}.pdf",
        png=report(
            "results/figures/{figure}.png",
            caption="../captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES_OF_RESULTS),
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        scale=SCALE,
        code=code("figures/*.py", "style/*", "hessian/quadrature.py"),
    script:
        "../scripts/plot_results.py"


rule plot_corpus:
    input:
        index=corpus_index(SCALE),
    output:
        pdf="results/figures/corpus.pdf",
        png=report(
            "results/figures/corpus.png",
            caption="../captions/corpus.rst",
            category="Figures",
            labels={"figure": "corpus"},
        ),
    log:
        "results/logs/figures/corpus.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        code=code("figures/*.py", "style/*", "data/shards.py"),
    script:
        "../scripts/plot_corpus.py"


rule plot_stimuli:
    input:
        stimuli=expand(
            "results/{scale}/data/ood/stimuli/{condition}.tar",
            scale=SCALE,
            condition=CONDITIONS,
        ),
    output:
        png=report(
            "results/figures/stimuli.png",
            caption="../captions/stimuli.rst",
            category="Figures",
            labels={"figure": "stimuli"},
        ),
    log:
        "results/logs/figures/stimuli.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        conditions=CONDITIONS,
        code=code("stimuli/*.py"),
    script:
        "../scripts/plot_stimuli.py"


rule render_report:
    input:
        pretrain=expand(
            "results/{scale}/pretrain/{run}.json", scale=SCALE, run=PRETRAINED
        ),
        zeroshot=expand(
            "results/{scale}/zeroshot/{run}/{task}.json",
            scale=SCALE,
            run=[*BASELINES, *RUNS],
            task=STUDY["zeroshot"],
        ),
        probes=[
            f"results/{SCALE}/{kind}/{run}/{task}.json"
            for kind, key in [
                ("retrieval", "retrieval"),
                ("linear-probe", "linear_probe"),
            ]
            for run in RUNS
            for task in STUDY[key]
        ],
        ood=expand(
            "results/{scale}/ood/{run}/{condition}.json",
            scale=SCALE,
            run=RUNS,
            condition=CONDITIONS,
        ),
        trials=expand(
            "results/{scale}/ood/{run}/{condition}.csv",
            scale=SCALE,
            run=RUNS,
            condition=CONDITIONS,
        ),
        hessian=expand("results/{scale}/hessian/{run}.json", scale=SCALE, run=RUNS),
        index=corpus_index(SCALE),
        tables=expand("results/tables/{table}.tex", table=TABLES),
        claims="results/tables/claims.csv",
        figures=[figure_path(name) for name in FIGURES],
        template="paper/report.tex.j2",
        published="paper/published/zeroshot.csv",
        sources=data_sheet(),
    output:
        tex="paper/report.tex",
    log:
        "results/logs/report/render.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        scale=SCALE,
        study=STUDY,
        recipe=config["recipes"][STUDY["recipe"]],
        tables=TABLES,
        figures=FIGURES,
        code=code("report.py", "claims/*.py", "tables/*.py"),
    script:
        "../scripts/render_report.py"


rule compile_report:
    input:
        tex="paper/report.tex",
        references="paper/references.bib",
        tables=expand("results/tables/{table}.tex", table=TABLES),
        figures=[figure_path(name) for name in FIGURES],
    output:
        pdf="paper/report.pdf",
    log:
        "results/logs/report/latexmk.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=1000,
    shell:
        "cd paper && latexmk -pdf -interaction=nonstopmode -halt-on-error report.tex > ../{log} 2>&1"
        " || (tail -n 20 ../{log}; exit 1)"
