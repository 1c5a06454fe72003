#!/bin/sh
# check.sh: types, lint and format of all that is here.
set -eu
cd "$(dirname "$0")/.."
npx --no-install tsc --project .
npx --no-install biome check --error-on-warnings .
shellcheck -x hooks/* install/*.sh install/setup install/virlan.in contrib/examples/*/*.sh test/*.sh test/*/*.sh .ci/run
