# A job trains one teacher, or one cohort of students. Weights are beside the records, but are no declared outputs.


rule train_teacher:
    input:
        unpack(inputs_of(ARTEFACTS.teachers)),
        plan="results/plan/teachers/{teacher}.json",
    output:
        record="results/teachers/{teacher}/teacher.json",
    log:
        "results/teachers/{teacher}/train.log",
    benchmark:
        "results/teachers/{teacher}/benchmark.tsv"
    priority: whole_seeds_first("teachers")
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads
    resources:
        **CLUSTER.resources("teachers"),
        gpu=GPUS,
    params:
        weights=weights_option(ARTEFACTS.teachers),
        options=training_options,
    shell:
        "python workflow/scripts/train_teacher.py --plan {input.plan:q} --data {input.data:q}"
        " {params.weights:q} --record {output.record:q} {params.options:q} > {log:q} 2>&1"


rule distill:
    input:
        unpack(inputs_of(ARTEFACTS.cohorts)),
        plan="results/plan/cohorts/{cohort}.json",
    output:
        manifest="results/cohorts/{cohort}/manifest.json",
    log:
        "results/cohorts/{cohort}/distill.log",
    benchmark:
        "results/cohorts/{cohort}/benchmark.tsv"
    priority: whole_seeds_first("cohorts")
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads
    resources:
        **CLUSTER.resources("cohorts"),
        gpu=GPUS,
    params:
        teacher=input_option("teacher"),
        weights=weights_option(ARTEFACTS.cohorts),
        options=training_options,
        size=cohort_size_option(),
    shell:
        "python workflow/scripts/distill.py --plan {input.plan:q} --data {input.data:q}"
        " {params.teacher:q} {params.weights:q} --manifest {output.manifest:q}"
        " {params.options:q} {params.size:q} > {log:q} 2>&1"
