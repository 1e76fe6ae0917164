"""Tables, figures and the report: cheap renderings of the configured scale."""

from workflow.contents import figure_labels, labels_of_figure


# The first page of the interactive report.
report: "../captions/study.rst"


for table in [name for name in TABLES if name != "claims"]:

    rule:
        name:
            f"table_{table}"
        input:
            **table_inputs(table),
            template=f"paper/tables/{table}.tex.j2",
        output:
            **table_files(table),
        log:
            f"results/logs/tables/{table}.log",
        conda:
            "../../envs/paper.yaml"
        # Here and below: importing torch and matplotlib takes 0.9 GB, the results little.
        resources:
            mem_mb=growing(2000),
        params:
            name=table,
            scale=SCALE,
            models=MODELS,
            tasks=STUDY[table] if table in TABLES_OF_TASKS else None,
            code=code("make_table"),
        script:
            "../scripts/make_table.py"


rule table_claims:
    input:
        zeroshot=result_files("zeroshot", task=STUDY["zeroshot"]),
        predictions=result_files("zeroshot", ending="parquet", task=STUDY["zeroshot"]),
        ood=result_files("ood", condition=CONDITIONS),
        trials=result_files("ood", ending="csv", condition=CONDITIONS),
        hessian=result_files("hessian"),
        template="paper/tables/claims.tex.j2",
    output:
        **table_files("claims"),
    log:
        "results/logs/tables/claims.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        scale=SCALE,
        recipe=STUDY["recipe"],
        code=code("make_claims_table"),
    script:
        "../scripts/make_claims_table.py"


rule plot_table:
    input:
        csv=lambda wildcards: f"results/tables/{FIGURES_OF_TABLES[wildcards.figure]}.csv",
    output:
        pdf="results/figures/{figure}.pdf",
        png="results/figures/{figure}.png",
        html=report(
            "results/figures/{figure}.html",
            caption="../captions/figure.rst",
            category="Figures",
            labels=figure_labels,
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
        code=code("plot_table"),
    script:
        "../scripts/plot_table.py"


rule plot_results:
    input:
        results=lambda wildcards: result_files(
            FIGURES_OF_RESULTS[wildcards.figure],
            drawn_runs(FIGURES_OF_RESULTS[wildcards.figure]),
        ),
    output:
        pdf="results/figures/{figure}.pdf",
        png="results/figures/{figure}.png",
        html=report(
            "results/figures/{figure}.html",
            caption="../captions/figure.rst",
            category="Figures",
            labels=figure_labels,
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
        code=code("plot_results"),
    script:
        "../scripts/plot_results.py"


rule plot_corpus:
    input:
        index=corpus_index(SCALE),
    output:
        pdf="results/figures/corpus.pdf",
        png="results/figures/corpus.png",
        html=report(
            "results/figures/corpus.html",
            caption="../captions/figure.rst",
            category="Figures",
            labels=labels_of_figure("corpus"),
        ),
    log:
        "results/logs/figures/corpus.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        code=code("plot_corpus"),
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
        pdf="results/figures/stimuli.pdf",
        png="results/figures/stimuli.png",
        html=report(
            "results/figures/stimuli.html",
            caption="../captions/figure.rst",
            category="Figures",
            labels=labels_of_figure("stimuli"),
        ),
    log:
        "results/logs/figures/stimuli.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        conditions=CONDITIONS,
        code=code("plot_stimuli"),
    script:
        "../scripts/plot_stimuli.py"


rule results:
    # Where there is no LaTeX: all but the PDF.
    input:
        tables=expand("results/tables/{table}.tex", table=TABLES),
        figures=[figure_path(name) for name in FIGURES],


rule render_report:
    input:
        pretrain=result_files("pretrain", PRETRAINED),
        zeroshot=table_inputs("zeroshot")["results"],
        probes=[
            *result_files("retrieval", task=STUDY["retrieval"]),
            *result_files("linear-probe", task=STUDY["linear_probe"]),
        ],
        ood=result_files("ood", condition=CONDITIONS),
        trials=result_files("ood", ending="csv", condition=CONDITIONS),
        hessian=result_files("hessian"),
        index=corpus_index(SCALE),
        tables=expand("results/tables/{table}.tex", table=TABLES),
        claims="results/tables/claims.csv",
        zeroshot_table="results/tables/zeroshot.csv",
        figures=[figure_path(name) for name in FIGURES],
        template="paper/report.tex.j2",
        sections=report_sections(),
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
        recipe=complete(config["recipes"], STUDY["recipe"]),
        settings={
            model: recipe_of(SCALE, model)
            for model in MODELS
            if origin(SCALE, model) == "pretrain"
        },
        commit=commit(),
        tables=TABLES,
        figures=FIGURES,
        code=code("render_report"),
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
        "results/logs/report/compile.log",
    conda:
        "../../envs/paper.yaml"
    resources:
        mem_mb=1000,
    shell:
        "envs/compile_report.sh > {log} 2>&1 || (tail -n 20 {log}; exit 1)"
