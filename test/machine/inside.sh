#!/bin/sh
# inside.sh: runs at the end of a boot. Runs the test file that the kernel command line names, and reboots the machine,
# which makes QEMU exit.
set -u
# value_of KEY: prints the value of virlan.KEY of the kernel command line.
value_of() {
  sed -n "s/.* virlan\\.$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline
}
cd /root/virlan || exit 1
# The tests of a package that has its own Node.js move that of the image.
node=/usr/bin/node
[ -x "$node" ] || node=/root/node
if ! "$node" --enable-source-maps "build/machine/$(value_of test).cjs" "$(value_of machine)" 2>&1; then
  echo 'The end of the journal:'
  journalctl --boot --no-pager --output=short-monotonic --lines=80
fi
systemctl --no-block reboot
