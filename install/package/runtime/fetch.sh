#!/bin/sh
# fetch.sh CPU: prints the directory of the Node.js that virlan-standalone carries on CPU, x64 or arm64; fetches it from
# npm's registry unless it is there. npm compares it with the hash in package-lock.json.
set -eu
cpu=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
directory=$here/../../../build/runtime-$cpu
if ! cmp -s "$here/package-lock.json" "$directory/package-lock.json"; then
  rm -rf "$directory" "$directory.new"
  mkdir -p "$directory.new"
  cp "$here/package.json" "$here/package-lock.json" "$directory.new"
  npm ci --prefix "$directory.new" --os linux --cpu "$cpu" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  mv "$directory.new" "$directory"
fi
printf '%s\n' "$directory/node_modules/node-linux-$cpu"
