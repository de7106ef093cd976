# Every metric of a teacher and its students of one seed; if the config asks for it, on corrupted images too.


rule evaluate:
    input:
        unpack(inputs_of(ARTEFACTS.evaluations)),
        plan="results/plan/evaluations/{evaluation}.json",
    output:
        manifest="results/evaluations/{evaluation}/manifest.json",
    log:
        "results/evaluations/{evaluation}/evaluate.log",
    benchmark:
        "results/evaluations/{evaluation}/benchmark.tsv"
    priority: whole_seeds_first("evaluations")
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads
    resources:
        **CLUSTER.resources("evaluations"),
        gpu=GPUS,
    params:
        teacher=input_option("teacher"),
        ood=input_option("ood"),
        options=device_options,
    shell:
        "python workflow/scripts/evaluate.py --plan {input.plan:q} --data {input.data:q}"
        " {params.teacher:q} {params.ood:q} --manifest {output.manifest:q} {params.options:q} > {log:q} 2>&1"


rule evaluate_corruptions:
    input:
        unpack(inputs_of(ARTEFACTS.robustness)),
        plan="results/plan/robustness/{robustness}.json",
    output:
        manifest="results/robustness/{robustness}/manifest.json",
    log:
        "results/robustness/{robustness}/evaluate.log",
    benchmark:
        "results/robustness/{robustness}/benchmark.tsv"
    priority: whole_seeds_first("robustness")
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads
    resources:
        **CLUSTER.resources("robustness"),
        gpu=GPUS,
    params:
        root=robustness_root,
        options=device_options,
    shell:
        "python workflow/scripts/evaluate_corruptions.py --plan {input.plan:q} --data {input.data:q}"
        " --corruptions {input.corruptions:q} --root={params.root:q}"
        " --manifest {output.manifest:q} {params.options:q} > {log:q} 2>&1"
