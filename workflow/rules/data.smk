# From the source of a data set to its store. These run locally, since compute nodes have no internet.
localrules:
    fetch_data,
    fetch_corruptions,
    fetch_weights,
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


rule fetch_weights:
    input:
        plan="results/plan/weights/{weights}.json",
    output:
        record="results/weights/{weights}.json",
    log:
        "results/logs/fetch_weights/{weights}.log",
    conda:
        "../../envs/vicinal.yaml"
    params:
        root=weights_root,
    shell:
        "python workflow/scripts/fetch_weights.py --plan {input.plan:q}"
        " --root={params.root:q} --record {output.record:q} > {log:q} 2>&1"


rule prepare_data:
    input:
        unpack(inputs_of(ARTEFACTS.stores)),
        plan="results/plan/data/{data}.json",
    output:
        record="results/data/{data}/data.json",
    log:
        "results/logs/prepare_data/{data}.log",
    benchmark:
        "results/benchmarks/prepare_data/{data}.tsv"
    priority: whole_seeds_first("data")
    conda:
        "../../envs/vicinal.yaml"
    params:
        root=data_root,
    shell:
        "python workflow/scripts/prepare_data.py --plan {input.plan:q}"
        " --root={params.root:q} --output {output.record:q} > {log:q} 2>&1"


rule fetch_corruptions:
    input:
        plan="results/plan/corruptions/{data}.json",
        data="results/data/{data}/data.json",
    output:
        record="results/data/{data}.corruptions.json",
    log:
        "results/logs/fetch_corruptions/{data}.log",
    benchmark:
        "results/benchmarks/fetch_corruptions/{data}.tsv"
    conda:
        "../../envs/vicinal.yaml"
    params:
        root=data_root,
    shell:
        "python workflow/scripts/fetch_corruptions.py --plan {input.plan:q}"
        " --data {input.data:q} --root={params.root:q} --record {output.record:q} > {log:q} 2>&1"
