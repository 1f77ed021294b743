#!/usr/bin/env bash
# The long run: 1,000 random examples of every property, drawn from a seed, one room after the other.
#
#   tests/long_run.sh SEED [FOLDER]   writes FOLDER/ROOM.log (FOLDER: long_run_SEED); run again, it goes on with the first room
#                                     that has not passed. It ends with 1 if a room failed, and says how to repeat that.
set -uo pipefail
cd "$(dirname "$0")/.."
seed=${1:?usage: tests/long_run.sh SEED [FOLDER]}
folder=${2:-long_run_$seed}
mkdir -p "$folder"
failed=0
for room in tests/*/ tests/test_*.py; do
    [ -n "$(find "$room" -name "test_*.py" -print -quit)" ] || continue
    log=$folder/$(basename "$room" .py).log
    repeat="HYPOTHESIS_PROFILE=long pytest --hypothesis-seed=$seed $room"
    if [ ! -e "$log.passed" ]; then
        start=$SECONDS
        HYPOTHESIS_PROFILE=long python -m pytest -q --hypothesis-seed="$seed" "$room" >"$log" 2>&1
        status=$? # 5: nothing to run here, as without a GPU
        if [ $status -eq 0 ] || [ $status -eq 5 ]; then
            touch "$log.passed"
        else
            failed=1
            grep -E "^(FAILED|ERROR)" "$log"
            echo "repeat: $repeat"
        fi
        echo "$room: $(tail -n 1 "$log") ($((SECONDS - start)) s)"
    else
        echo "$room: passed before"
    fi
done
exit $failed
