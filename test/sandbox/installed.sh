#!/bin/sh
# installed.sh: installs virlan on a private host, and prints what install.sh has made as a tar archive, for installVirlan()
# of virlan.ts. The archive has the code that V8 compiled, too, as on a host where the commands have run before.
set -eu

before=$(mktemp)
list=$(mktemp)
sh install/install.sh --no-packages --no-start >&2
program='/usr/lib/virlan /usr/lib/virlan-versions /usr/sbin/virlan /etc/virlan /etc/libvirt/hooks /etc/systemd/system'
# Completions are only for shells that this host has.
for path in $program $(sed 's/.* //' install/files); do
  [ ! -e "$path" ] || find "$path" -newer "$before" >>"$list"
done

virlan=/usr/sbin/virlan
"$virlan" up >&2
xml='<domain><name>web</name><devices><interface type="bridge"><source bridge="k8s-br0"/></interface></devices></domain>'
printf '%s' "$xml" | /etc/libvirt/hooks/qemu web prepare begin - >&2
/etc/libvirt/hooks/daemon - start - start >&2
for command in plan status 'status --json' 'ip web' 'doctor --json' down; do
  # shellcheck disable=SC2086 # a command and its options
  "$virlan" $command >&2 || true
done
find /var/cache/virlan >>"$list"

# With the whole times of files, which the cache depends on.
exec tar --create --format=posix --no-recursion --absolute-names --files-from="$list"
