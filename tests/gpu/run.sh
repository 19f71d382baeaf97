#!/bin/bash
# run.sh PART [--python PY] [--out DIR] [--seconds N] [-- WORDS]: one part of what wants a card, from a bundle (make gpu-bundle) or a checkout.
#   fixtures  every trace of tests/fixtures/gpu anew        DIR/gpu-fixtures.tar.gz, DIR/fixtures.jsonl
#   bench     what recording costs, model against meter     DIR/bench.jsonl
#   test      each claim against torch's own counts         DIR/test.jsonl
# Each ends within N seconds (default 530) and may be run again with the same DIR: what is there is not done again. DIR/summary.txt says how it went.
set -uo pipefail
top=$(cd "$(dirname "$0")" && pwd)
[ -d "$top/tests/gpu" ] || top=$(cd "$top/../.." && pwd)
part=${1:-} python=python3 out=$PWD/gpu-results seconds=530 more=()
[ $# -gt 0 ] && shift
while [ $# -gt 0 ]; do
    case $1 in
    --python) python=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --) shift; more=("$@"); break ;;
    *) echo "run.sh: what is $1?" >&2; exit 2 ;;
    esac
done
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
export BUILD=${BUILD:-$top/build} TVG_GPU_PYTHON PYTHONDONTWRITEBYTECODE=1
TVG_GPU_PYTHON=$(command -v "$python") || { echo "run.sh: no interpreter $python" >&2; exit 2; }
work=${TMPDIR:-/tmp}/tvg-gpu.$(id -u)
mkdir -p "$work"
cd "$work" || exit 2
began=$SECONDS
limit=(timeout --kill-after=10 $((seconds + 15)))
case $part in
fixtures) "${limit[@]}" "$TVG_GPU_PYTHON" "$top/tests/gpu/record.py" --out "$out" --work "$work/fixtures" --seconds "$seconds" "${more[@]}" ;;
bench)    "${limit[@]}" "$TVG_GPU_PYTHON" "$top/bench/gpu/run.py" --seconds $((seconds - 60)) --done "$out/bench.jsonl" "${more[@]}" | tee -a "$out/bench.jsonl" ;;
test)     # pytest lies in the bundle; behind the interpreter's own packages, which are left as they are
          "${limit[@]}" "$TVG_GPU_PYTHON" -c 'import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main(sys.argv[1:]))' "$top/site" \
              -q -c "$top/tests/pytest.ini" --rootdir="$top" "$top/tests/gpu" --results "$out/test.jsonl" --seconds "$seconds" "${more[@]}" ;;
*)        sed -n '2,6p' "$0"; exit 2 ;;
esac
status=$?
echo "$(date -u +%FT%TZ) $part: exit $status after $((SECONDS - began)) s on $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | paste -sd';' || true)" |
    tee -a "$out/summary.txt"
exit $status
