#!/bin/bash
# bundle.sh BUILD PYTHON STRIP: packs BUILD/tvg-gpu.tar.gz, what run.sh needs on a machine that has a card and can neither build nor download.
set -euo pipefail
build=$1 python=$2 strip=$3
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
top=$folder/tvg-gpu
mkdir -p "$top/build" "$top/coeffs" "$top/tests/e2e" "$top/bench/end_to_end" "$top/site"
cp "$build/libtvgshim.so" "$build/gpu/tvg" "$top/build/"
"$strip" --strip-debug "$top/build/libtvgshim.so"
"$strip" "$top/build/tvg"
cp coeffs/*.json "$top/coeffs/"
cp -r tests/gpu tests/pytest.ini "$top/tests/"
cp tests/e2e/{tvg_testlib,trace_blocks,gpu_accounting}.py "$top/tests/e2e/"
cp -r bench/gpu "$top/bench/"
cp bench/end_to_end/run.py "$top/bench/end_to_end/"
# pytest and what it needs are plain Python: they run by any interpreter from 3.11 on
packages=$("$python" -c 'import pytest, os; print(os.path.dirname(os.path.dirname(pytest.__file__)))')
for name in pytest _pytest py.py pluggy iniconfig packaging pygments; do cp -r "$packages/$name" "$top/site/"; done
mv "$top/tests/gpu/run.sh" "$top/run.sh"
find "$top" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$folder" -czf "$build/tvg-gpu.tar.gz" tvg-gpu
bytes=$(stat -c %s "$build/tvg-gpu.tar.gz")
echo "tvg: $build/tvg-gpu.tar.gz, $((bytes / 1000)) kB: unpack it on a machine with a card and run tvg-gpu/run.sh"
if [ "$bytes" -ge 40000000 ]; then echo "tvg: it is larger than 40 MB" >&2; exit 1; fi
