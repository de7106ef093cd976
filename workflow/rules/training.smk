# One teacher a job, one cohort of students a job. Weights lie undeclared beside the records.


rule train_teacher:
    input:
        plan="results/plan/teachers/{teacher}.json",
        data=teacher_data,
        weights=teacher_weights,
    output:
        record="results/teachers/{teacher}/teacher.json",
    log:
        "results/teachers/{teacher}/train.log",
    benchmark:
        "results/teachers/{teacher}/benchmark.tsv"
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads * EXECUTION.gpus_per_job
    resources:
        **CLUSTER.resources("teachers"),
        gpu=GPUS * EXECUTION.gpus_per_job,
    params:
        device=EXECUTION.device,
        slots=EXECUTION.gpu_slots,
        processes=EXECUTION.gpus_per_job,
        threads=threads_of_process,
        numerics=numerics_options(EXECUTION),
        weights=teacher_weights_option,
        checkpoints=EXECUTION.checkpoint_seconds,
        deadline=deadline_option,
    shell:
        "python workflow/scripts/train_teacher.py --plan {input.plan:q}"
        " --data {input.data:q} {params.weights} --record {output.record:q}"
        " --device {params.device:q} --gpu-slots {params.slots}"
        " --gpus-per-job {params.processes} {params.numerics}"
        " --checkpoint-seconds {params.checkpoints} {params.deadline}"
        " --threads {params.threads} > {log:q} 2>&1"


rule distill:
    input:
        plan="results/plan/cohorts/{cohort}.json",
        data=cohort_data,
        teacher=cohort_teacher,
        weights=cohort_weights,
    output:
        manifest="results/cohorts/{cohort}/manifest.json",
    log:
        "results/cohorts/{cohort}/distill.log",
    benchmark:
        "results/cohorts/{cohort}/benchmark.tsv"
    conda:
        "../../envs/vicinal.yaml"
    threads: EXECUTION.threads * EXECUTION.gpus_per_job
    resources:
        **CLUSTER.resources("cohorts"),
        gpu=GPUS * EXECUTION.gpus_per_job,
    params:
        device=EXECUTION.device,
        slots=EXECUTION.gpu_slots,
        processes=EXECUTION.gpus_per_job,
        threads=threads_of_process,
        numerics=numerics_options(EXECUTION),
        weights=weights_option,
        checkpoints=EXECUTION.checkpoint_seconds,
        deadline=deadline_option,
        teacher=option("--teacher", "teacher"),
        size=f"--cohort-size {EXECUTION.cohort_size}" if EXECUTION.cohort_size else "",
    shell:
        "python workflow/scripts/distill.py --plan {input.plan:q}"
        " --data {input.data:q} {params.teacher} {params.weights} --students results/students"
        " --manifest {output.manifest:q}"
        " --device {params.device:q} --gpu-slots {params.slots}"
        " --gpus-per-job {params.processes} {params.numerics}"
        " --checkpoint-seconds {params.checkpoints} {params.deadline} {params.size}"
        " --threads {params.threads} > {log:q} 2>&1"
