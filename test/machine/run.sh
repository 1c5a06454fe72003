#!/bin/sh
# run.sh [--limit SECONDS] [MACHINE…] [DIRECTORY…]: `npm run test:machine`. Prepares the checkout and runs run.mjs.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh mmdebstrap e2fsprogs debian-archive-keyring rpm
exec node test/machine/run.mjs "$@"
