# Every metric of a teacher, or of all students of a cohort; where it is asked for on corrupted images too.


rule evaluate:
    input:
        plan="results/plan/evaluations/{evaluation}.json",
        data=evaluation_data,
        teacher=evaluation_teacher,
        cohort=evaluation_cohort,
    output:
        manifest="results/evaluations/{evaluation}/manifest.json",
    log:
        "results/evaluations/{evaluation}/evaluate.log",
    benchmark:
        "results/evaluations/{evaluation}/benchmark.tsv"
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads
    resources:
        **CLUSTER.resources("evaluations"),
        gpu=GPUS,
    params:
        device=EXECUTION.device,
        slots=EXECUTION.gpu_slots,
        teacher=option("--teacher", "teacher"),
        students=evaluation_students,
    shell:
        "python workflow/scripts/evaluate.py --plan {input.plan:q}"
        " --data {input.data:q} {params.teacher} {params.students}"
        " --manifest {output.manifest:q}"
        " --device {params.device:q} --gpu-slots {params.slots}"
        " --threads {threads} > {log:q} 2>&1"


rule evaluate_corruptions:
    input:
        plan="results/plan/robustness/{unit}.json",
        data=robustness_data,
        corruptions=robustness_images,
        teacher=robustness_teacher,
        cohort=robustness_cohort,
    output:
        manifest="results/robustness/{unit}/manifest.json",
    log:
        "results/robustness/{unit}/evaluate.log",
    benchmark:
        "results/robustness/{unit}/benchmark.tsv"
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads
    resources:
        **CLUSTER.resources("robustness"),
        gpu=GPUS,
    params:
        device=EXECUTION.device,
        slots=EXECUTION.gpu_slots,
        root=robustness_root,
        teacher=option("--teacher", "teacher"),
        students=evaluation_students,
    shell:
        "python workflow/scripts/evaluate_corruptions.py --plan {input.plan:q}"
        " --data {input.data:q} --corruptions {input.corruptions:q} --root={params.root:q}"
        " {params.teacher} {params.students} --manifest {output.manifest:q}"
        " --device {params.device:q} --gpu-slots {params.slots}"
        " --threads {threads} > {log:q} 2>&1"
