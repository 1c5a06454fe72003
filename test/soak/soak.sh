#!/bin/sh
# soak.sh [--seed N] [--seconds N]: what `npm run soak` runs, on a private host: half an hour of whatever may happen to a
# host, in an order that a seed decides. Prints the seed first; the same seed does the same again.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
mkdir -p build/soak
npx --no-install esbuild test/soak/main.ts --bundle --platform=node --target=node20 --outfile=build/soak/soak.cjs --log-level=warning
exec sh test/sandbox/enter.sh node build/soak/soak.cjs "$@"
