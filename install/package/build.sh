#!/bin/sh
# build.sh [DIRECTORY]: packs the files that install.sh copies into DIRECTORY (default: build/packages): as a .deb if
# dpkg-deb is installed, as an .rpm if rpmbuild is. The same source results in the same packages, byte by byte: their time
# stamps are SOURCE_DATE_EPOCH, or the time of the last commit.
set -eu
umask 022
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=$(dirname -- "$(dirname -- "$here")")
output=${1:-$source/build/packages}

fail() {
  printf 'package: %s\n' "$1" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null
}

copy_files() {
  sh "$source/install/install.sh" --destdir "$1" >/dev/null
}

build_rpm() {
  copy_files "$work/files"
  rpmbuild --quiet -bb --target noarch \
    --define "_topdir $work/rpm" --define "_rpmdir $output" \
    --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
    --define '_buildhost virlan' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' \
    --define "tree $work/files" --define "version $version" --define "changes $source/CHANGELOG.md" \
    "$here/virlan.spec" >/dev/null
  echo "$output/virlan-$version-1.noarch.rpm"
}

build_deb() {
  tree=$work/deb
  copy_files "$tree"
  doc=$tree/usr/share/doc/virlan
  mkdir -p "$doc"
  cat "$source/LICENSE" - >"$doc/copyright" <<'END'

virlan's programs contain libraries under the MIT, ISC and Apache-2.0 licences, which /usr/lib/virlan/licences names
with their texts. /usr/share/common-licenses/Apache-2.0 is the last of them.
END
  rm "$tree/usr/lib/virlan-package/LICENSE"
  gzip -9n <"$source/CHANGELOG.md" >"$doc/changelog.gz"
  gzip -9n >"$doc/changelog.Debian.gz" <<END
virlan ($version-1) unstable; urgency=medium

  * Built from version $version: see changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END

  mkdir "$tree/DEBIAN"
  size=$(du -sk --apparent-size "$tree" | cut -f 1)
  sed -e "s/@VERSION@/$version-1/" -e "s/@MAINTAINER@/$maintainer/" -e "s/@SIZE@/$size/" \
    "$here/control.in" >"$tree/DEBIAN/control"
  printf '%s\n' /etc/logrotate.d/virlan /etc/virlan/virlan.ini >"$tree/DEBIAN/conffiles"
  install -m 755 "$here/postinst" "$here/prerm" "$tree/DEBIAN/"
  sed -e "/^@PURGE@\$/{r $source/install/purge.sh" -e 'd}' "$here/postrm.in" >"$tree/DEBIAN/postrm"
  chmod 755 "$tree/DEBIAN/postrm"
  (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  deb=$output/virlan_$version-1_all.deb
  dpkg-deb --root-owner-group -Zxz --build "$tree" "$deb" >/dev/null
  echo "$deb"
}

has dpkg-deb || has rpmbuild || fail 'needs dpkg-deb for a .deb, rpmbuild for an .rpm: install dpkg or rpm-build'
[ -f "$source/dist/bin/virlan.cjs" ] || fail 'there is nothing to pack: run "npm run build" first'

version=$(node -p 'require(process.argv[1]).version' "$source/package.json")
if [ -z "${SOURCE_DATE_EPOCH-}" ]; then
  SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct 2>/dev/null || stat -c %Y "$source/CHANGELOG.md")
fi
export SOURCE_DATE_EPOCH
# The virlan authors have no address. A publisher sets the variables of Debian's own tools.
maintainer="${DEBFULLNAME:-The virlan authors} <${DEBEMAIL:-virlan@packages.invalid}>"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"
output=$(cd "$output" && pwd)
! has dpkg-deb || build_deb
! has rpmbuild || build_rpm
