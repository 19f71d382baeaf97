#!/bin/sh
# What a stranger does: clones HEAD to a temporary folder, runs make and make demo there, and checks that the checkout stays clean.
# KEEP=1 keeps the folder. TARGETS="demo test" says what to run after make.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/tvg-clone.XXXXXX")
[ -n "${KEEP:-}" ] || trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
git clone --quiet --no-hardlinks "$root" "$folder/tvg"
cd "$folder/tvg"
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD TVG_OUT LD_PRELOAD
make -j2
[ ! -e build/venv ] || { echo "clean_clone: make alone must install nothing" >&2; exit 1; }
[ -e build/libtvgshim.so ] && [ -e build/tvg ]
for target in ${TARGETS:-demo}; do make "$target"; done
[ -z "$(git status --porcelain)" ] || { git status --short; echo "clean_clone: the build wrote outside build/" >&2; exit 1; }
echo "clean_clone: $(git log -1 --format=%h): make ${TARGETS:-demo} from a clean clone: ok"
