#!/bin/sh
# run.sh [--limit SECONDS] [NAMEPART...]: `npm run test:packages`. Prepares the checkout and runs run.mjs.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh mmdebstrap debian-archive-keyring lintian rpm rpmlint
exec node test/packages/run.mjs "$@"
