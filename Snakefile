# Beyond Dark Knowledge: Mixup-Based Distillation for Reliable Predictions (arXiv 2606.12171), reproduced.
# Data → teachers → cohorts of students → evaluation → tables → claims, figures → reports.
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/captions/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/analysis.smk"


rule all:
    default_target: True
    input:
        tables=expand("results/{experiment}/summary.csv", experiment=STUDIES),
        claims=expand("results/{experiment}/claims.md", experiment=STUDIES),
        reports=expand(
            "results/{experiment}/report.html", experiment=STUDIES + COLLECTIONS
        ),
        figures=expand(
            "results/{experiment}/figures/{figure}.pdf",
            experiment=STUDIES,
            figure=FIGURES,
        ),
