# From the measurements of all models to tables, claims, figures and reports.
localrules:
    aggregate,
    judge_claims,
    plot_figures,
    make_report,
    combine_reports,


rule aggregate:
    input:
        unpack(inputs_of(ARTEFACTS.studies)),
        plan="results/plan/experiments/{experiment}.json",
    output:
        metrics="results/{experiment}/metrics.parquet",
        vicinal="results/{experiment}/vicinal.parquet",
        confusion="results/{experiment}/confusion.parquet",
        spread="results/{experiment}/spread.parquet",
        similarity="results/{experiment}/similarity.parquet",
        projection="results/{experiment}/projection.parquet",
        classes="results/{experiment}/classes.parquet",
        reliability="results/{experiment}/reliability.parquet",
        history="results/{experiment}/history.parquet",
        corruptions="results/{experiment}/corruptions.parquet",
        summary="results/{experiment}/summary.parquet",
        csv=report(
            "results/{experiment}/summary.csv",
            caption="../report/captions/summary.rst",
            category="Tables",
            labels={"experiment": "{experiment}", "table": "summary"},
        ),
        tex="results/{experiment}/summary.tex",
        markdown="results/{experiment}/summary.md",
    log:
        "results/logs/aggregate/{experiment}.log",
    benchmark:
        "results/benchmarks/aggregate/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    params:
        corruptions=input_option("corruptions"),
    shell:
        "python workflow/scripts/aggregate.py --plan {input.plan:q}"
        " --data {input.data:q} {params.corruptions:q} --results results"
        " --output $(dirname {output.metrics:q}) > {log:q} 2>&1"


rule judge_claims:
    input:
        plan="results/plan/claims/{experiment}.json",
        tables=rules.aggregate.output,
    output:
        claims="results/{experiment}/claims.parquet",
        readable=report(
            "results/{experiment}/claims.md",
            caption="../report/captions/claims.rst",
            category="Tables",
            labels={"experiment": "{experiment}", "table": "claims"},
        ),
        tex="results/{experiment}/claims.tex",
        record="results/{experiment}/claims.json",
    log:
        "results/logs/judge_claims/{experiment}.log",
    benchmark:
        "results/benchmarks/judge_claims/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    shell:
        "python workflow/scripts/claims.py --plan {input.plan:q}"
        " --tables $(dirname {input.tables[0]:q}) --output {output.claims:q} > {log:q} 2>&1"


# All figures in one job: most of the time would go into loading matplotlib once for each.
rule plot_figures:
    input:
        plan="results/plan/figures/{experiment}.json",
        tables=rules.aggregate.output,
    output:
        pdf=expand("results/{{experiment}}/figures/{figure}.pdf", figure=FIGURES),
        png=[
            report(
                f"results/{{experiment}}/figures/{figure}.png",
                caption=f"../report/captions/figures/{figure}.rst",
                category="Figures",
                subcategory="{experiment}",
                labels={"figure": figure},
            )
            for figure in FIGURES
        ],
        data=expand("results/{{experiment}}/figures/{figure}.parquet", figure=FIGURES),
        record=expand("results/{{experiment}}/figures/{figure}.json", figure=FIGURES),
    log:
        "results/logs/plot_figures/{experiment}.log",
    benchmark:
        "results/benchmarks/plot_figures/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    params:
        captions=figure_captions,
    shell:
        "python workflow/scripts/plot.py --plan {input.plan:q}"
        " --tables $(dirname {input.tables[0]:q}) --output $(dirname {output.pdf[0]:q}) > {log:q} 2>&1"


rule make_report:
    input:
        plan="results/plan/reports/{experiment}.json",
        tables=rules.aggregate.output,
        claims=rules.judge_claims.output.claims,
        figures=expand(
            "results/{{experiment}}/figures/{figure}.png",
            figure=FIGURES,
        ),
    output:
        report=report(
            "results/{experiment}/report.html",
            caption="../report/captions/report.rst",
            category="Reports",
            labels={"experiment": "{experiment}"},
        ),
        record="results/{experiment}/report.json",
    log:
        "results/logs/make_report/{experiment}.log",
    benchmark:
        "results/benchmarks/make_report/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    shell:
        "python workflow/scripts/report.py --plan {input.plan:q} --results results"
        " --tables $(dirname {input.claims:q}) --output {output.report:q} > {log:q} 2>&1"


rule combine_reports:
    input:
        plan="results/plan/collections/{collection}.json",
        tables=expand("results/{experiment}/metrics.parquet", experiment=STUDIES),
        claims=expand("results/{experiment}/claims.parquet", experiment=STUDIES),
        figures=expand(
            "results/{experiment}/figures/{figure}.png",
            experiment=STUDIES,
            figure=FIGURES,
        ),
    output:
        report=report(
            "results/{collection}/report.html",
            caption="../report/captions/report.rst",
            category="Reports",
            labels={"experiment": "{collection}"},
        ),
        record="results/{collection}/report.json",
    log:
        "results/logs/combine_reports/{collection}.log",
    benchmark:
        "results/benchmarks/combine_reports/{collection}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    params:
        folders=expand("results/{experiment}", experiment=STUDIES),
    shell:
        "python workflow/scripts/combine.py --plan {input.plan:q} --results results"
        " --tables {params.folders:q} --output {output.report:q} > {log:q} 2>&1"
