#!/bin/sh
# inside.sh: runs at the end of a machine's boot: the test file that the kernel's command line names. Then reboots the
# machine, upon which QEMU exits.
set -u
test=$(sed -n 's/.* virlan\.test=\([^ ]*\).*/\1/p' /proc/cmdline)
cd /root/virlan || exit 1
if ! node --enable-source-maps "build/machine/$test.cjs" 2>&1; then
  echo 'The end of the journal:'
  journalctl --boot --no-pager --output=short-monotonic --lines=80
fi
systemctl --no-block reboot
