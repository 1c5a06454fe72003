# shellcheck shell=sh
# purge.sh: deletes virlan's data. Sourced by setup; part of the .deb's postrm, which runs when the other
# files are gone.

# Deletes locks and records of what was running.
forget_runtime() {
  rm -rf /run/virlan
  rmdir /run/dnsmasq 2>/dev/null || :
}

# Deletes reservations, records, caches and logs. Keeps the lines of a hostsfile that were written by hand.
purge() {
  forget_runtime
  rm -rf /var/lib/virlan /var/cache/virlan
  rm -f /var/log/virlan.log
  rm -f /var/log/virlan.log?*
  for directory in /var/lib/dnsmasq/*/; do
    rm -f "${directory}names"
    hostsfile=${directory}hostsfile
    [ -f "$hostsfile" ] || continue
    sed -i '/ # virlan$/d' "$hostsfile"
    [ -s "$hostsfile" ] || [ -e "${directory}dnsmasq.conf" ] || rm -f "$hostsfile" "${directory}leases"
    rmdir "$directory" 2>/dev/null || :
  done
  rmdir /var/lib/dnsmasq 2>/dev/null || :
}
