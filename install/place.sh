# shellcheck shell=sh
# virlan: puts files into their places all together, or not at all. They are staged beside their places first, which is
# where a full disk or a read-only file system shows. Putting them in place is renaming, and so is taking them back.

staged='' in_place='' made='' notes=''

# Runs a command and notes what goes wrong in it, so that one line can say it when all is taken back.
noting() {
  notes=$(mktemp) || return
  "$@" 2>"$notes"
  rm -f -- "$notes"
  notes=''
}

# The line that says what went wrong, if it has not been said.
complain() {
  [ -n "$notes" ] || return 0
  line=$(head -n 1 "$notes")
  rm -f -- "$notes"
  case $line in
    "$1: "*) printf '%s\n' "$line" ;;
    *) printf '%s: %s: see to that, and run this again; the host is as it was\n' "$1" "${line#*: }" ;;
  esac >&2
}

# Where what becomes of a path waits, as kind new or old. Not in a directory of hooks: libvirt runs all that is there.
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

# Says that a path is going to be replaced; the caller writes what waits as new.
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
      # As a link, so that there is no moment without a file.
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

# All went well: what was there before goes.
forget_old() {
  while IFS= read -r target; do
    [ -z "$target" ] || rm -rf -- "$(waiting "$target" old)"
  done <<END
$in_place
END
}
