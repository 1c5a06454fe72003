#!/bin/sh
# demo.sh: `npm run demo`. Shows virlan's features on a private host, and checks that it leaves no links and mounts.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh
mkdir -p build/demo
npx --no-install esbuild test/demo/demo.ts --bundle --platform=node --target=node20 --outfile=build/demo/demo.cjs --log-level=warning
before=$(ip -brief link; mount | wc -l)
timeout --kill-after=5 180 sh test/sandbox/enter.sh node build/demo/demo.cjs
after=$(ip -brief link; mount | wc -l)
if [ "$before" != "$after" ]; then
  printf 'links or mounts differ from before:\n%s\n' "$after" >&2
  exit 1
fi
printf 'The private host is removed, with all its processes, links, rules, mounts and files.\n'
