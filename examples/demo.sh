#!/bin/sh
# The demo: the same inference without and with the shim, the embeddings compared bit by bit, then the report.
set -eu
build=${BUILD:-build}
here=$(dirname "$0")
folder=$(mktemp -d "${TMPDIR:-/tmp}/tvg-demo.XXXXXX")
trap 'rm -rf "$folder"' EXIT INT TERM
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

say "1. Without the shim: python examples/infer_minilm.py"
"$build/venv/bin/python" "$here/infer_minilm.py" --repeat 2 --out "$folder/without.npy"

say "2. The same command with LD_PRELOAD=$build/libtvgshim.so"
LD_PRELOAD=$build/libtvgshim.so TVG_OUT="$folder/minilm.tvg" "$build/venv/bin/python" "$here/infer_minilm.py" --repeat 2 --out "$folder/with.npy" |
  grep -v '^written\|^nearest\|^ '

say "3. Did the shim change anything?"
cmp "$folder/without.npy" "$folder/with.npy"
echo "no: the embeddings are bit-identical ($(stat -c %s "$folder/with.npy") bytes compared)"
mv "$folder/minilm.tvg" "$build/minilm.tvg"

say "4. tvg report $build/minilm.tvg"
"$build/tvg" report "$build/minilm.tvg"
