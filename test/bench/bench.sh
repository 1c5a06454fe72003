#!/bin/sh
# bench.sh [PART...]: `npm run bench`, on a private host: all parts, or those that are named (`npm run bench -- up prepare`).
# Prints the ratios and writes them to build/bench.json.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
mkdir -p build/bench
npx --no-install esbuild test/bench/bench.ts --bundle --platform=node --target=node20 --outfile=build/bench/bench.cjs --log-level=warning
# File descriptor 3 carries the figures out of the private host, where the checkout is read-only.
sh test/sandbox/enter.sh node build/bench/bench.cjs "$@" 3>build/bench.json
printf '\nAs JSON: build/bench.json\n'
