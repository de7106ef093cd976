# From the source of a data set to one array store on disk. Compute nodes have no internet: these run locally.
localrules:
    fetch_data,
    prepare_data,


rule fetch_data:
    input:
        plan="results/plan/downloads/{data}.json",
    output:
        record="results/data/{data}.fetched.json",
    log:
        "results/logs/fetch_data/{data}.log",
    conda:
        "../../envs/vicinal.yaml"
    params:
        root=data_root,
    shell:
        "python workflow/scripts/fetch_data.py --plan {input.plan:q}"
        " --root={params.root:q} --record {output.record:q} > {log:q} 2>&1"


rule prepare_data:
    input:
        plan="results/plan/data/{data}.json",
        fetched=fetched_data,
    output:
        record="results/data/{data}/data.json",
    log:
        "results/logs/prepare_data/{data}.log",
    benchmark:
        "results/benchmarks/prepare_data/{data}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    params:
        root=data_root,
    shell:
        "python workflow/scripts/prepare_data.py --plan {input.plan:q}"
        " --root={params.root:q} --output {output.record:q} > {log:q} 2>&1"
