#!/bin/bash
# What a first session on a GPU must answer, in one command of at most 580 seconds, from the project's folder:
#
#     tests/benchmarks/first_gpu_session.sh [FOLDER]
#
# All logs and numbers are in FOLDER/session.tar.gz (default: $OUT, or /tmp/first-gpu-session), which is written anew
# after each part. What matters most comes first. Each part has a limit, and what fails in one stops none of the others.
# It needs Python 3.11 or later as python3 with what speed.md lists, and pytest.
cd "$(dirname "$0")/../.." || exit 1
export PYTHONPATH=$PWD/workflow PYTHONUNBUFFERED=1
output=${1:-${OUT:-/tmp/first-gpu-session}}
logs=$(mktemp -d)
mkdir -p "$output" || exit 1
SECONDS=0
ALL=580

part() { # NAME SECONDS COMMAND…
    local name=$1 limit=$2 left=$((ALL - SECONDS))
    shift 2
    if [ $left -lt 20 ]; then
        echo "== $name: left out, there is no time"
        return
    fi
    [ "$limit" -le $left ] || limit=$left
    echo "== $name (after $SECONDS s; $limit s at most)"
    timeout -k 5 "$((limit - 5))" "$@" >"$logs/$name.log" 2>&1
    echo "   ended with $?"
    tail -n "${LINES_SHOWN:-6}" "$logs/$name.log" | cut -c1-220
    tar -C "$logs" -czf "$output/session.tar.gz" .
}

versions='import sys, torch, torchvision
print(torch.__version__, torchvision.__version__, sys.version.split()[0], torch.backends.cudnn.version())
print(torch.cuda.get_device_name())'
tests="python3 -m pytest -q -p no:cacheprovider -m gpu tests/unit/test_engine_gpu.py tests/unit/test_device.py"
benchmarks=tests/benchmarks

part machine 30 sh -c 'nvidia-smi -L; python3 -c "$0"' "$versions"
LINES_SHOWN=16 part tests 150 $tests --durations=5 -k "not compiled and not memory"
LINES_SHOWN=12 part profile-8 60 python3 $benchmarks/gpu_profile.py --output "$logs/profile-8.json"
LINES_SHOWN=14 part throughput 240 python3 $benchmarks/gpu_throughput.py --pairs resnet56:resnet20 --cohorts 1,4,8 \
    --repeats 2 --minutes 3.8 --output "$logs/throughput.json"
part memory 40 $tests -k memory
part compiled 90 $tests -k compiled
part rounding 90 python3 $benchmarks/rounding.py --seeds 2 --output "$logs/rounding.json"
part photos 110 python3 $benchmarks/photo_training.py --photos 1024 --batch 128 --epochs 2 --repeats 1 \
    --output "$logs/photos.json"
part photos-8 60 python3 $benchmarks/photo_training.py --photos 1024 --batch 128 --epochs 2 --repeats 1 --threads 8 \
    --output "$logs/photos-8.json"
part profile-1 40 python3 $benchmarks/gpu_profile.py --students 1 --output "$logs/profile-1.json"
echo "== $SECONDS s in all; everything is in $output/session.tar.gz"
