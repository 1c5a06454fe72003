#!/bin/sh
# run.sh: `npm test`. Installs and builds everything, then runs the checks and all tests; its last line is the totals.
set -u
cd "$(dirname "$0")/.." || exit 1
sh test/setup.sh || exit 1

rm -rf build/checked build/unit build/sandbox
mkdir -p build
sh test/check.sh && echo 'check: types, lint and format are right' >build/checked
cat build/checked 2>/dev/null || echo 'check: FAILED'
node test/unit/run.mjs
node test/sandbox/run.mjs
exec node test/sum.mjs
