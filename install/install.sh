#!/bin/sh
# Installs virlan on this host, or below a directory: program, hooks, example configuration. Run again, it upgrades.
set -eu

usage() {
  cat <<'END'
Usage: install/install.sh --no-packages --no-start [--destdir DIR]

  --no-packages  install no packages of the system (they are: nodejs, dnsmasq-base,
                 nftables or iptables, iproute2, libvirt-daemon-system)
  --no-start     do not start anything, and do not tell libvirtd
  --destdir DIR  put everything below DIR
END
}

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

destdir='' packages=yes start=yes
while [ $# -gt 0 ]; do
  case $1 in
    --no-packages) packages=no ;;
    --no-start) start=no ;;
    --destdir) [ $# -ge 2 ] || fail '--destdir needs a directory' 2; destdir=$2; shift ;;
    --destdir=*) destdir=${1#*=} ;;
    -h | --help) usage; exit 0 ;;
    *) fail "there is no option $1: see --help" 2 ;;
  esac
  shift
done
# Installing packages and starting services comes with a later version; better to say so than to leave them out in silence.
[ "$packages$start" = nono ] || fail 'this version installs files only: call it with --no-packages --no-start' 2

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
[ -n "$destdir" ] || [ "$(id -u)" -eq 0 ] || fail 'needs root: call it with sudo, or with --destdir'

# A hook runs below libvirtd, whose AppArmor profile lets it execute programs of these directories only.
node=''
for directory in /usr/bin /bin /usr/sbin /sbin; do
  [ -x "$directory/node" ] && node=$directory/node && break
done
[ -n "$node" ] || fail 'no node in /usr/bin, where a hook of libvirt may execute it: install nodejs, 20.19 or newer'
"$node" -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
  fail "$node is $("$node" --version): install nodejs 20.19 or newer"

if [ ! -f "$source/dist/virlan.cjs" ]; then
  [ -d "$source/node_modules" ] || (cd "$source" && npm ci --no-audit --no-fund >&2)
  (cd "$source" && npm run --silent build)
fi

# A hook that is not virlan's is the user's, and is never written over.
hooks=$destdir/etc/libvirt/hooks
for hook in daemon qemu network; do
  if [ -e "$hooks/$hook" ] && ! grep -q '^# virlan: ' "$hooks/$hook"; then
    fail "$hooks/$hook is a hook of your own: move it to $hooks/$hook.d/10-own, which libvirt 6.5 and newer runs too"
  fi
done

library=$destdir/usr/lib/virlan
install -d -m 755 "$library" "$destdir/usr/sbin" "$destdir/etc/virlan" "$destdir/etc/virlan/dnsmasq.d" "$hooks"
for file in "$source"/dist/*.cjs; do
  install -m 644 "$file" "$library/"
done
install -m 644 "$source/hooks/ask.sh" "$library/"
launcher=$destdir/usr/sbin/virlan
sed -e "s|@NODE@|$node|g" -e 's|@LIBDIR@|/usr/lib/virlan|g' "$source/install/virlan.in" >"$launcher.new"
chmod 755 "$launcher.new"
mv "$launcher.new" "$launcher"
[ -e "$destdir/etc/virlan/virlan.ini" ] || install -m 644 "$source/install/virlan.ini" "$destdir/etc/virlan/virlan.ini"
for hook in daemon qemu network; do
  install -m 755 "$source/hooks/$hook" "$hooks/$hook.new"
  mv "$hooks/$hook.new" "$hooks/$hook"
done

printf 'virlan is installed. It sets its network up when libvirtd starts; "virlan up" does so now.\n'
