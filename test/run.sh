#!/bin/sh
# run.sh: what `npm test` runs. Sets everything up, then checks and runs all tests; its last line sums them up.
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
