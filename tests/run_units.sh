#!/bin/sh
# Runs cmocka programs one after another: a line for each that passes, the whole output of one that fails, a summary at the end.
failed=0 passed=0
for program in "$@"; do
  if output=$("$program" 2>&1 </dev/null); then
    passed=$((passed + 1))
    printf 'ok    %-28s %s\n' "$(basename "$program")" "$(printf '%s\n' "$output" | sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1 tests/p')"
  else
    failed=$((failed + 1))
    printf 'FAIL  %s\n%s\n' "$(basename "$program")" "$output"
  fi
done
echo "unit: $passed programs passed, $failed failed"
[ $# -gt 0 ] && [ "$failed" = 0 ]
