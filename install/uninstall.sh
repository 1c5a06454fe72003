#!/bin/sh
# Removes virlan and restores the host as it was before: links, rules, sysctls, libvirt's default network,
# files.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin

usage() {
  cat <<'END'
Usage: sudo install/uninstall.sh [--keep-data]

Removes virlan and restores the host as it was before.

  --keep-data  keep /etc/virlan and the ledger, so that machines have the same
               addresses when virlan is installed again
END
}

fail() {
  printf 'uninstall.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
keep_data=''
for option; do
  case $option in
    --keep-data) keep_data=$option ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "there is no option $option: see --help" 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || fail 'needs root: run it with sudo'
if dpkg-query --search /usr/sbin/virlan >/dev/null 2>&1 || rpm --query --file /usr/sbin/virlan >/dev/null 2>&1; then
  fail 'virlan is installed as a package: remove that package instead'
fi

if [ -x /usr/lib/virlan/setup ]; then
  /usr/lib/virlan/setup remove ${keep_data:+"$keep_data"} || fail 'virlan stays installed: correct that, and run this again'
fi
[ -n "$keep_data" ] || rm -rf /etc/virlan
rm -rf /usr/lib/virlan /usr/lib/virlan-versions
rm -f /usr/sbin/virlan
while read -r _ _ installed; do rm -f -- "$installed"; done <"$source/install/files"
[ ! -d /run/systemd/system ] || systemctl daemon-reload
printf 'virlan is removed.\n'
