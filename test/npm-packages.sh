#!/bin/sh
# npm-packages.sh DIRECTORY...: runs "npm ci" in each directory, unless npm's record of a complete one is newer than its
# lock file.
set -eu

for directory; do
  record=$directory/node_modules/.package-lock.json
  [ -e "$record" ] && [ -z "$(find "$directory/package-lock.json" -newer "$record")" ] && continue
  printf '>> installing the npm packages of %s/package.json\n' "$directory" >&2
  npm ci --prefix "$directory" --no-audit --no-fund --loglevel=error >&2
done
