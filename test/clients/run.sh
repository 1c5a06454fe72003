#!/bin/sh
# run.sh [--limit SECONDS] [NAMEPART...]: `npm run test:clients`. Prepares the checkout and runs run.mjs.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
exec node test/clients/run.mjs "$@"
