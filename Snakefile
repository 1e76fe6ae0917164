from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/zeroshot_data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/zeroshot.smk"
include: "workflow/rules/ood.smk"
include: "workflow/rules/hessian.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        report="paper/report.pdf",
        # For the interactive report; the PDF shows them as panels.
        conditions=expand("results/figures/ood-{condition}.html", condition=CONDITIONS),
        # Snakemake makes do with a file that exists where it cannot make it anew: without these, an
        # old report would pass for that of a study which cannot be measured.
        measurements=measurements(),
