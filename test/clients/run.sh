#!/bin/sh
# run.sh [--limit SECONDS] [NAMEPART...]: `npm run test:clients`. Prepares the checkout and runs run.mjs.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh xorriso grub-pc-bin grub-common mtools rpm ovmf ipxe
# virlan-standalone, which the Ansible role installs; a private host cannot fetch it.
sh install/package/runtime/fetch.sh "$(node -p process.arch)" >/dev/null
exec node test/clients/run.mjs "$@"
