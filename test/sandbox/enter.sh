#!/bin/sh
# enter.sh CMD ARGS...: runs CMD as root in a private host and exits with its status.
#
# A private host has its own namespaces, a writable copy of /etc, /usr and /var that is invisible outside, and a
# newly installed libvirt. When CMD ends, its changes are discarded and its processes killed. To stop a private host
# from outside, send SIGKILL to this process: unshare defers other signals until its child has ended.
set -eu

if [ $# -eq 0 ]; then
  echo 'usage: enter.sh CMD ARGS...' >&2
  exit 2
fi

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
checkout=$(CDPATH='' cd -- "$here/../.." && pwd -P)

path=/usr/sbin:/usr/bin:/sbin:/bin
if node=$(command -v node); then
  node_dir=$(dirname -- "$node")
  case ":$path:" in
    *":$node_dir:"*) ;;
    *) path=$path:$node_dir ;;
  esac
fi

exec env -i PATH="$path" HOME=/root LC_ALL=C TERM="${TERM:-dumb}" \
  unshare --mount --net --pid --ipc --uts --fork --mount-proc --kill-child \
  sh "$here/init.sh" "$checkout" "$(pwd -P)" "$@"
