#!/bin/sh
# bench.sh [PART...]: `npm run bench`. Runs all parts of the benchmark, or the given ones, on a private host, prints the
# results, and writes them to build/bench.json. Example: `npm run bench -- up prepare`
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
mkdir -p build/bench
# Debian's network for containers, for comparison. Its package is unpacked, not installed.
lxc=$(sh test/clients/fetch.sh /var/cache/virlan-test lxc)
cp "$lxc/usr/libexec/lxc/lxc-net" build/bench/lxc-net
npx --no-install esbuild test/bench/bench.ts --bundle --platform=node --target=node20 --outfile=build/bench/bench.cjs --log-level=warning
# The results leave the private host through file descriptor 3, because the checkout is read-only there.
sh test/sandbox/enter.sh node build/bench/bench.cjs "$@" 3>build/bench.json
printf '\nAs JSON: build/bench.json\n'
