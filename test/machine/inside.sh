#!/bin/sh
# inside.sh: runs at the end of a boot. Runs the test file that the kernel command line names, and reboots the machine,
# which makes QEMU exit.
set -u
test=$(sed -n 's/.* virlan\.test=\([^ ]*\).*/\1/p' /proc/cmdline)
cd /root/virlan || exit 1
if ! node --enable-source-maps "build/machine/$test.cjs" 2>&1; then
  echo 'The end of the journal:'
  journalctl --boot --no-pager --output=short-monotonic --lines=80
fi
systemctl --no-block reboot
