#!/bin/sh
# run.sh: `npm test`. Prepares the checkout, runs the checks, unit and sandbox tests, and prints the totals last.
set -u
cd "$(dirname "$0")/.." || exit 1
sh test/setup.sh || exit 1

rm -rf build/checked build/unit build/sandbox
mkdir -p build
sh test/check.sh && echo 'check: types, lint and format are correct' >build/checked
cat build/checked 2>/dev/null || echo 'check: FAILED'
node test/unit/run.mjs
node test/sandbox/run.mjs
exec node test/sum.mjs
