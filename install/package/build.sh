#!/bin/sh
# build.sh [--cpu CPU] [--directory DIRECTORY] [PACKAGE…]: packs packages into DIRECTORY (default: build/packages): as a
# .deb if dpkg-deb is installed, as an .rpm if rpmbuild is. The same source results in the same packages, byte by byte:
# their time stamps are SOURCE_DATE_EPOCH, or the time of the last commit.
#
#   virlan              the program, for hosts with Node.js 20.19 or newer; packed if no PACKAGE is given
#   virlan-standalone   the same with a Node.js of its own for CPU, x64 or arm64 (default: that of this host)
#   cockpit-virlan      the page for Cockpit
set -eu
umask 022
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=$(dirname -- "$(dirname -- "$here")")
page=$source/contrib/cockpit/dist

fail() {
  printf 'package: %s\n' "$1" >&2
  exit "${2:-1}"
}

has() {
  command -v "$1" >/dev/null
}

# choose_package NAME: sets what differs between packages: the file names of the CPU, install.sh's options, compression.
choose_package() {
  package=$1 runtime='' spec=virlan
  case $package in
    virlan) deb_architecture=all rpm_architecture=noarch deb_compression=-Zxz rpm_payload=w9.xzdio ;;
    virlan-standalone)
      case $cpu in
        x64) deb_architecture=amd64 rpm_architecture=x86_64 ;;
        arm64) deb_architecture=arm64 rpm_architecture=aarch64 ;;
        *) fail "there is no Node.js for CPU $cpu: write x64 or arm64" 2 ;;
      esac
      # 46 MB in six seconds; xz takes two minutes for 29 MB, and lintian does not accept zstd.
      deb_compression='-Zgzip -z6' rpm_payload=w6.gzdio
      runtime=$(sh "$here/runtime/fetch.sh" "$cpu") ||
        fail 'the Node.js of virlan-standalone could not be fetched: see the message of npm above'
      ;;
    cockpit-virlan)
      deb_architecture=all rpm_architecture=noarch deb_compression=-Zxz rpm_payload=w9.xzdio spec=cockpit-virlan
      [ -f "$page/manifest.json" ] || fail 'there is no page to pack in contrib/cockpit/dist: run "npm run build:cockpit" first'
      ;;
    *) fail "there is no package $package: write virlan, virlan-standalone or cockpit-virlan" 2 ;;
  esac
}

is_program() {
  [ "$package" != cockpit-virlan ]
}

copy_files() {
  if is_program; then copy_program "$1"; else copy_page "$1"; fi
}

copy_page() {
  mkdir -p "$1/usr/share/cockpit"
  cp -R "$page" "$1/usr/share/cockpit/virlan"
  chmod -R u=rwX,go=rX "$1/usr/share/cockpit/virlan"
}

copy_program() {
  sh "$source/install/install.sh" --destdir "$1" ${runtime:+--runtime "$runtime"} >/dev/null
  echo "$package" >"$1/usr/lib/virlan-package/package"
  examples=$1/usr/share/doc/$package/examples
  mkdir -p "$examples"
  install -m 644 "$source/contrib/prometheus/virlan.rules.yml" "$source/contrib/grafana/virlan.json" "$examples/"
}

build_rpm() {
  copy_files "$work/files"
  rpmbuild --quiet -bb --target "$rpm_architecture" \
    --define "_topdir $work/rpm" --define "_rpmdir $output" --define "_binary_payload $rpm_payload" \
    --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
    --define '_buildhost virlan' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' \
    --define "package $package" --define "tree $work/files" --define "version $version" --define "maintainer $maintainer" \
    --define "date $(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" --define "changes $source/CHANGELOG.md" \
    "$here/$spec.spec" >/dev/null
  echo "$output/$package-$version-1.$rpm_architecture.rpm"
}

# The scripts of the .deb of the program.
add_scripts() {
  printf '%s\n' /etc/logrotate.d/virlan /etc/virlan/virlan.ini >"$tree/DEBIAN/conffiles"
  install -m 755 "$here/postinst" "$here/prerm" "$tree/DEBIAN/"
  sed -e "/^@PURGE@\$/{r $source/install/purge.sh" -e 'd}' "$here/postrm.in" >"$tree/DEBIAN/postrm"
  chmod 755 "$tree/DEBIAN/postrm"
}

build_deb() {
  tree=$work/deb
  copy_files "$tree"
  doc=$tree/usr/share/doc/$package
  mkdir -p "$doc"
  cat "$source/LICENSE" "$here/copyright/$package" >"$doc/copyright"
  ! is_program || rm "$tree/usr/lib/virlan-package/LICENSE"
  gzip -9n <"$source/CHANGELOG.md" >"$doc/changelog.gz"
  gzip -9n >"$doc/changelog.Debian.gz" <<END
$package ($version-1) unstable; urgency=medium

  * Built from version $version: see changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
  if [ -f "$here/lintian/$package" ]; then
    mkdir -p "$tree/usr/share/lintian/overrides"
    install -m 644 "$here/lintian/$package" "$tree/usr/share/lintian/overrides/"
  fi

  # As deb-substvars(5) defines it; du depends on the file system.
  size=$(find "$tree" -type f -printf '%s\n' -o -printf '1\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
  mkdir "$tree/DEBIAN"
  sed -e "s/@VERSION@/$version-1/" -e "s/@MAINTAINER@/$maintainer/" -e "s/@SIZE@/$size/" \
    -e "s/@ARCHITECTURE@/$deb_architecture/" "$here/control/$package" >"$tree/DEBIAN/control"
  ! is_program || add_scripts
  (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  deb=$output/${package}_$version-1_$deb_architecture.deb
  # shellcheck disable=SC2086 # one or two options
  dpkg-deb --root-owner-group $deb_compression --build "$tree" "$deb" >/dev/null
  echo "$deb"
}

cpu='' output=$source/build/packages packages=''
while [ $# -gt 0 ]; do
  case $1 in
    --cpu | --directory) [ $# -ge 2 ] || fail "$1 needs a value" 2 ;;
  esac
  case $1 in
    --cpu)
      cpu=$2
      shift
      ;;
    --directory)
      output=$2
      shift
      ;;
    -*) fail "there is no option $1" 2 ;;
    *) packages="$packages $1" ;;
  esac
  shift
done

has dpkg-deb || has rpmbuild || fail 'needs dpkg-deb for a .deb, rpmbuild for an .rpm: install dpkg or rpm-build'
[ -f "$source/dist/bin/virlan.cjs" ] || fail 'there is nothing to pack: run "npm run build" first'

[ -n "$cpu" ] || cpu=$(node -p process.arch)
version=$(node -p 'require(process.argv[1]).version' "$source/package.json")
if [ -z "${SOURCE_DATE_EPOCH-}" ]; then
  SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct 2>/dev/null || stat -c %Y "$source/CHANGELOG.md")
fi
export SOURCE_DATE_EPOCH
# The virlan authors have no address. A publisher sets the variables of Debian's own tools.
maintainer="${DEBFULLNAME:-The virlan authors} <${DEBEMAIL:-virlan@packages.invalid}>"

mkdir -p "$output"
output=$(cd "$output" && pwd)
work=''
trap 'rm -rf "$work"' EXIT
for name in ${packages:-virlan}; do
  choose_package "$name"
  rm -rf "$work"
  work=$(mktemp -d)
  ! has dpkg-deb || build_deb
  ! has rpmbuild || build_rpm
done
