#!/bin/sh
# soak.sh [cluster] [--seed N] [--seconds N]: `npm run soak` and `npm run soak:cluster`. On a private host, or on three that
# share their ledgers by etcd, executes random actions for half an hour, or --seconds. Prints the seed first; the same
# seed repeats the order of actions.
set -eu
cd "$(dirname "$0")/../.."
if [ "${1:-}" = cluster ]; then sh test/cluster/setup.sh; else sh test/setup.sh; fi
mkdir -p build/soak
npx --no-install esbuild test/soak/main.ts --bundle --platform=node --target=node20 --outfile=build/soak/soak.cjs --log-level=warning
exec sh test/sandbox/enter.sh node build/soak/soak.cjs "$@"
