#!/bin/sh
# fetch.sh DIRECTORY PACKAGE...: unpacks Debian packages, and what they need that this host lacks, below
# DIRECTORY, and prints the path of the result. Nothing is installed. Versions unpacked before are not
# fetched again.
set -eu

cache=$1
shift

# Prints the packages that an installation would add, one NAME=VERSION per line. Fails if one is missing.
missing() {
  apt-get install --simulate --quiet --quiet --no-install-recommends "$@" > "$plan" || return
  sed -En 's/^Inst ([^ ]+) (\[[^]]*\] )?\(([^ ]+).*/\1=\3/p' "$plan"
}

plan=$(mktemp)
trap 'rm -f "$plan"' EXIT
if ! needed=$(missing "$@" 2> /dev/null); then
  apt-get update --quiet --quiet >&2
  needed=$(missing "$@")
fi

key=$(printf '%s\n' "$needed" | cat - "$0" | sha256sum | cut -c 1-16)
root=$cache/$1-$key
if [ ! -e "$root" ]; then
  rm -rf "$root.new"
  mkdir -p "$root.new/packages" "$root.new/usr/bin" "$root.new/usr/sbin" "$root.new/usr/lib"
  # Where a host has merged these directories, some packages still use the old paths.
  ln -s usr/bin usr/sbin usr/lib "$root.new/"
  if [ -n "$needed" ]; then
    (
      cd "$root.new/packages"
      # shellcheck disable=SC2086 # one word per package
      apt-get download --quiet --quiet --option APT::Sandbox::User=root $needed >&2 || {
        apt-get update --quiet --quiet >&2
        # shellcheck disable=SC2086 # one word per package
        apt-get download --quiet --quiet --option APT::Sandbox::User=root $needed >&2
      }
      for package in *.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory ..
      done
    )
  fi
  rm -rf "$root.new/packages"
  mv "$root.new" "$root"
fi
printf '%s\n' "$root"
