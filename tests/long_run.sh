#!/usr/bin/env bash
# The long run: 1,000 random examples of every property, drawn from a seed, one room after the other.
#
#   tests/long_run.sh SEED [ROOM ...]    all rooms, or those named: tests/image tests/test_ops.py
#
# Writes long_run_SEED/ROOM.log. Started again, it leaves out the rooms that have passed. Says how to repeat a failure, and
# ends with 1 if there was one.
set -uo pipefail
cd "$(dirname "$0")/.."
seed=${1:?usage: tests/long_run.sh SEED [ROOM ...]}
shift
[ $# -gt 0 ] || set -- tests/*/ tests/test_*.py
folder=long_run_$seed
mkdir -p "$folder"
failed=0
for room in "$@"; do
    room=${room%/}
    [ -n "$(find "$room" -name "test_*.py" -print -quit)" ] || continue
    log=$folder/$(basename "$room" .py).log
    if [ -e "$log.passed" ]; then
        echo "$room: passed before"
        continue
    fi
    start=$SECONDS
    HYPOTHESIS_PROFILE=long python -m pytest -q --hypothesis-seed="$seed" "$room" >"$log" 2>&1
    status=$?
    echo "$room: $(tail -n 1 "$log") ($((SECONDS - start)) s)"
    if [ $status -eq 0 ] || [ $status -eq 5 ]; then # 5: no tests, as those for a GPU without one
        touch "$log.passed"
    else
        failed=1
        grep -E "^(FAILED|ERROR)" "$log"
        echo "repeat it: HYPOTHESIS_PROFILE=long python -m pytest --hypothesis-seed=$seed $room"
    fi
done
exit $failed
