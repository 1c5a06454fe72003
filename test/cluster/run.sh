#!/bin/sh
# run.sh [--limit SECONDS] [NAMEPART...]: `npm run test:cluster`. Prepares the checkout and runs run.mjs.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
exec node test/cluster/run.mjs "$@"
