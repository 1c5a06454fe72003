#!/bin/sh
# check.sh: checks types, lint and format of the whole tree. Exits 0 if there is nothing to report.
set -eu
cd "$(dirname "$0")/.."
sh test/npm-packages.sh contrib/cockpit
npx --no-install tsc --project .
npx --no-install tsc --project contrib/cockpit
npx --no-install biome check --error-on-warnings .
shellcheck -x hooks/* install/*.sh install/setup install/virlan.in install/package/*.sh install/package/runtime/fetch.sh install/package/p* \
  contrib/ansible/virlan-inventory contrib/examples/*/*.sh contrib/completions/virlan.bash contrib/githooks/* test/*.sh test/*/*.sh .ci/run
mandoc -Tlint -Wall install/man/*
secilc --disable-neverallow --output=/dev/null --filecontext=/dev/null contrib/selinux/test-base.cil contrib/selinux/virlan.cil
