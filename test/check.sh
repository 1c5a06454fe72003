#!/bin/sh
# check.sh: types, lint and format of all that is here.
set -eu
cd "$(dirname "$0")/.."
npx --no-install tsc --project .
npx --no-install biome check --error-on-warnings .
shellcheck -x hooks/* install/*.sh install/setup install/virlan.in install/package/build.sh install/package/p* \
  contrib/examples/*/*.sh contrib/completions/virlan.bash test/*.sh test/*/*.sh .ci/run
mandoc -Tlint -Wall install/man/*
