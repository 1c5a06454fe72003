#!/bin/sh
# scale.sh: `npm run bench:scale`. Measures on a private host what a cluster of 1,000 hosts and 100,000 machines costs, and
# prints the table that docs/scale.md quotes. Needs a host that does nothing else.
set -eu
cd "$(dirname "$0")/../.."
unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test etcd-server etcd-client)
mkdir -p build/bench
npx --no-install esbuild test/bench/scale/scale.ts --bundle --platform=node --target=node20 --outfile=build/bench/scale.cjs --log-level=warning
exec sh test/sandbox/enter.sh node --expose-gc build/bench/scale.cjs "$unpacked/usr/bin/etcd"
