#!/usr/bin/env bash
# The first run on a GPU, in 15 minutes or less: first_run.sh [smoke] [tests] [bench] [parts], in the repository's root.
# Logs and the compiled kernels go to the folder $OUT (default: gpu-run). MODELS, DTYPES and ROUNDS choose what is measured.
set -uo pipefail
out=${OUT:-gpu-run}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=4 CUPY_CACHE_DIR=$out/kernels
failed=0
step() { # name, seconds at most, lines of its end to show, command
    local name=$1 limit=$2 lines=$3 from=$SECONDS
    shift 3
    timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1
    local status=$?
    [ $status = 0 ] || failed=1
    echo "=== $name: exit $status after $((SECONDS - from)) s"
    tail -n "$lines" "$out/$name.log"
}
for part in "${@:-smoke}"; do
    case $part in
    smoke) step smoke 90 40 python3 -m tests.gpu.smoke ;;
    tests) step tests 230 45 python3 -m pytest tests/gpu -m gpu -q --maxfail=40 --tb=short --durations=8 ;;
    bench) step bench 190 12 python3 -m tests.benchmarks.bench_gpu --models ${MODELS:-Ovis2-1B} --dtypes ${DTYPES:-bfloat16} --rounds "${ROUNDS:-3}" ;;
    parts) step parts 150 75 python3 -m tests.benchmarks.gpu_parts --model ${MODELS:-Ovis2-1B} ;;
    *) echo "first_run.sh knows smoke, tests, bench and parts, not $part" && exit 2 ;;
    esac
done
exit $failed
