#!/bin/sh
# build.sh PACKAGE DIRECTORY: builds the .deb of PACKAGE as DIRECTORY/now.deb, and as DIRECTORY/before.deb the same with a
# lower version and another program, for an upgrade.
set -eu
package=$1 directory=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$directory/before
mkdir -p "$directory"
sh "$here/../../../install/package/build.sh" --directory "$directory/built" "$package" >/dev/null
mv "$directory/built/$package"_*.deb "$directory/now.deb"
dpkg-deb --raw-extract "$directory/now.deb" "$tree"
sed -i 's/^Version: .*/Version: 0.0.1-1/' "$tree/DEBIAN/control"
echo '// before' >>"$tree/usr/lib/virlan-package/bin/hook.cjs"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$directory/before.deb" >/dev/null
rm -r "$tree" "$directory/built"
