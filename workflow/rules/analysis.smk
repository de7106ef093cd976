# From the Parquet of all models to tables and figures.
localrules:
    aggregate,
    judge_claims,
    plot_figure,
    make_report,


rule aggregate:
    input:
        plan="results/plan/experiments/{experiment}.json",
        data=study_data,
        evaluations=study_evaluations,
    output:
        metrics="results/{experiment}/metrics.parquet",
        vicinal="results/{experiment}/vicinal.parquet",
        confusion="results/{experiment}/confusion.parquet",
        similarity="results/{experiment}/similarity.parquet",
        classes="results/{experiment}/classes.parquet",
        reliability="results/{experiment}/reliability.parquet",
        history="results/{experiment}/history.parquet",
        summary="results/{experiment}/summary.parquet",
        csv="results/{experiment}/summary.csv",
    log:
        "results/logs/aggregate/{experiment}.log",
    benchmark:
        "results/benchmarks/aggregate/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    shell:
        "python workflow/scripts/aggregate.py --plan {input.plan:q}"
        " --data {input.data:q} --results results --output $(dirname {output.metrics:q}) > {log:q} 2>&1"


rule judge_claims:
    input:
        plan="results/plan/claims/{experiment}.json",
        tables=rules.aggregate.output,
    output:
        claims="results/{experiment}/claims.parquet",
        readable="results/{experiment}/claims.md",
    log:
        "results/logs/judge_claims/{experiment}.log",
    benchmark:
        "results/benchmarks/judge_claims/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    shell:
        "python workflow/scripts/claims.py --plan {input.plan:q}"
        " --tables $(dirname {input.tables[0]:q}) --output {output.claims:q} > {log:q} 2>&1"


rule plot_figure:
    input:
        plan="results/plan/figures/{experiment}/{figure}.json",
        tables=rules.aggregate.output,
    output:
        pdf="results/{experiment}/figures/{figure}.pdf",
        png="results/{experiment}/figures/{figure}.png",
        data="results/{experiment}/figures/{figure}.parquet",
        record="results/{experiment}/figures/{figure}.json",
    log:
        "results/logs/plot_figure/{experiment}/{figure}.log",
    benchmark:
        "results/benchmarks/plot_figure/{experiment}/{figure}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    shell:
        "python workflow/scripts/plot.py --plan {input.plan:q}"
        " --tables $(dirname {input.tables[0]:q}) --output {output.pdf:q} > {log:q} 2>&1"


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
        report="results/{experiment}/report.html",
    log:
        "results/logs/make_report/{experiment}.log",
    benchmark:
        "results/benchmarks/make_report/{experiment}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    shell:
        "python workflow/scripts/report.py --plan {input.plan:q} --results results"
        " --tables $(dirname {input.claims:q}) --output {output.report:q} > {log:q} 2>&1"
