#!/bin/sh
# run.sh [--limit SECONDS] [debian12] [debian13]: `npm run test:machine`. Installs and builds everything, then boots
# machines.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh mmdebstrap e2fsprogs debian-archive-keyring
exec node test/machine/run.mjs "$@"
