# shellcheck shell=sh
# place.sh: replaces files all together or not at all. Files are first staged beside their targets, where a full disk or
# a read-only file system shows; then they are renamed to their targets, and renamed back if a later step fails.
# Sourced by install.sh and setup; state is in the variables staged, in_place, made, notes and new.

staged='' in_place='' made='' notes=''

# Runs a command and keeps its stderr, from which complain makes one line after all is undone.
noting() {
  notes=$(mktemp) || return
  "$@" 2>"$notes"
  rm -f -- "$notes"
  notes=''
}

# Prints the first line of the kept stderr, if there is one.
complain() {
  [ -n "$notes" ] || return 0
  line=$(head -n 1 "$notes")
  rm -f -- "$notes"
  case $line in
    "$1: "*) printf '%s\n' "$line" ;;
    *) printf '%s: %s: see to that, and run this again; the host is as it was\n' "$1" "${line#*: }" ;;
  esac >&2
}

# Prints the path of the staged (new) or previous (old) version of a target. Never in a directory of hooks: libvirt runs
# every program there.
waiting() {
  case $1 in
    */hooks/*.d/*)
      parent=${1%/*}
      printf '%s.virlan-%s' "${parent%.d}" "$2"
      ;;
    *) printf '%s.virlan-%s' "$1" "$2" ;;
  esac
}

is_there() {
  [ -e "$1" ] || [ -L "$1" ]
}

make_directory() {
  [ -d "$1" ] && return
  make_directory "${1%/*}"
  mkdir -m 755 -- "$1"
  made="$1
$made"
}

# Registers a target that will be replaced. The caller writes the new version to $new.
stage() {
  make_directory "${1%/*}"
  new=$(waiting "$1" new)
  rm -rf -- "$new"
  staged="$staged$1
"
}

# stage_file MODE SOURCE TARGET
stage_file() {
  stage "$3"
  install -m "$1" -- "$2" "$new"
}

put_in_place() {
  while IFS= read -r target; do
    [ -n "$target" ] || continue
    old=$(waiting "$target" old)
    rm -rf -- "$old"
    in_place="$in_place$target
"
    if [ -d "$target" ]; then
      mv -T -- "$target" "$old"
    elif is_there "$target"; then
      # A link: the target exists at every moment.
      ln -P -- "$target" "$old"
    fi
    mv -fT -- "$(waiting "$target" new)" "$target"
  done <<END
$staged
END
}

take_back() {
  while IFS= read -r target; do
    [ -n "$target" ] || continue
    old=$(waiting "$target" old)
    if is_there "$old"; then
      [ ! -d "$target" ] || rm -rf -- "$target"
      mv -fT -- "$old" "$target"
    elif ! is_there "$(waiting "$target" new)"; then
      rm -rf -- "$target"
    fi
  done <<END
$in_place
END
  while IFS= read -r target; do
    [ -z "$target" ] || rm -rf -- "$(waiting "$target" new)"
  done <<END
$staged
END
  remove_made
}

remove_made() {
  while IFS= read -r directory; do
    [ -z "$directory" ] || rmdir -- "$directory" 2>/dev/null || :
  done <<END
$made
END
}

# Deletes the previous versions after a success.
forget_old() {
  while IFS= read -r target; do
    [ -z "$target" ] || rm -rf -- "$(waiting "$target" old)"
  done <<END
$in_place
END
}
