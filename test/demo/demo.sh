#!/bin/sh
# demo.sh: `npm run demo`: shows virlan's features on a private host, and checks that nothing of it is left afterwards.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
mkdir -p build/demo
npx --no-install esbuild test/demo/demo.ts --bundle --platform=node --target=node20 --outfile=build/demo/demo.cjs --log-level=warning
before=$(ip -brief link; mount | wc -l)
timeout --kill-after=5 180 sh test/sandbox/enter.sh node build/demo/demo.cjs
after=$(ip -brief link; mount | wc -l)
if [ "$before" != "$after" ]; then
  printf 'something is left behind:\n%s\n' "$after" >&2
  exit 1
fi
printf 'The private host is gone, and with it every process, link, rule, mount and file of it.\n'
