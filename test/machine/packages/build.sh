#!/bin/sh
# build.sh PACKAGE DIRECTORY: builds the .deb and the .rpm of PACKAGE as DIRECTORY/now.{deb,rpm}, and as
# DIRECTORY/before.{deb,rpm} the same with a lower version and another program, for an upgrade.
set -eu
package=$1 directory=$2
checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
earlier=$directory/earlier
mkdir -p "$directory"

# build SOURCE NAME: builds the packages of a source tree.
build() {
  sh "$1/install/package/build.sh" --directory "$directory/built" "$package" >/dev/null
  for kind in deb rpm; do mv "$directory/built/$package"[_-]*."$kind" "$directory/$2.$kind"; done
}

build "$checkout" now
# The same tree by links, with a version and a program of its own.
mkdir "$earlier"
ln -s "$checkout"/* "$earlier/"
rm "$earlier/dist" "$earlier/package.json"
cp -R "$checkout/dist" "$earlier/dist"
echo '// before' >>"$earlier/dist/bin/hook.cjs"
sed 's/^  "version": .*/  "version": "0.0.1",/' "$checkout/package.json" >"$earlier/package.json"
build "$earlier" before
rm -r "$earlier" "$directory/built"
