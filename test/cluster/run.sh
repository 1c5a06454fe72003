#!/bin/sh
# run.sh [--limit SECONDS] [NAMEPART...]: `npm run test:cluster`. Prepares the checkout, fetches etcd and runs run.mjs.
set -eu
cd "$(dirname "$0")/../.."
sh test/cluster/setup.sh

# Cockpit and a browser, which the test of the page puts over /usr.
browser=$(sh test/clients/fetch.sh /var/cache/virlan-test cockpit-ws cockpit-bridge chromium)

exec node test/cluster/run.mjs --browser "$browser" "$@"
