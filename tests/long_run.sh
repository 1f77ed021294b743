#!/usr/bin/env bash
# The long run: 1,000 random examples of every property, 200 of those that run whole models, drawn from a seed; two rooms at a time.
#
#   tests/long_run.sh SEED [ROOM ...]    all rooms, or those named: tests/image tests/test_ops.py
#
# Writes long_run_SEED/ROOM.log. Started again, it leaves out the rooms that have passed. Says how to repeat a failure, and
# ends with 1 if there was one. JOBS=1 runs one room at a time.
set -uo pipefail
cd "$(dirname "$0")/.."
export seed=${1:?usage: tests/long_run.sh SEED [ROOM ...]}
shift
[ $# -gt 0 ] || set -- tests/*/ tests/test_*.py
export folder=long_run_$seed OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
mkdir -p "$folder"

run_room() {
    local room=${1%/} profile=long start=$SECONDS
    local log=$folder/$(basename "$room" .py).log
    case $room in # their properties run whole models, in ours and in transformers
        tests/generation | tests/gpu | tests/golden | tests/checkpoint | tests/tools | tests/tiny | tests/test_on_standin.py)
            profile=long_models ;;
    esac
    if [ -e "$log.passed" ]; then
        echo "$room: passed before"
        return
    fi
    local command="python -m pytest -m 'hypothesis and not slow' --hypothesis-seed=$seed $room"
    HYPOTHESIS_PROFILE=$profile bash -c "$command -q" >"$log" 2>&1
    local status=$?
    [ $status -eq 5 ] && return # it has no properties
    echo "$room: $(tail -n 1 "$log") ($((SECONDS - start)) s)"
    if [ $status -eq 0 ]; then
        touch "$log.passed"
    else
        grep -E "^(FAILED|ERROR)" "$log"
        echo "repeat it: HYPOTHESIS_PROFILE=$profile $command"
        return 1
    fi
}
export -f run_room
printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -I ROOM bash -c 'run_room ROOM' || exit 1
