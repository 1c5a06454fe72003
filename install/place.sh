# shellcheck shell=sh
# virlan: replaces files all together or not at all. install.sh and setup source this file and call, in this
# order:
#
#   stage TARGET                    announces a target; the caller then writes "$(new_path TARGET)"
#   stage_file MODE SOURCE TARGET   stages a copy of a file
#   commit_staged                   renames all that is staged to its target, and keeps what was there before;
#                                   more may be staged and committed after it
#   roll_back | discard_old         restores what was there before | removes it
#
# Staging writes to the file systems of the targets, so a full or read-only one fails before any target is
# changed. The lists below are the state of one run, each with one path a line; no other file reads or sets
# them.

staged_targets='' replaced_targets='' made_directories='' error_file=''

# capture_errors COMMAND [ARGUMENT…]: runs a command, and keeps its stderr for report_failure.
capture_errors() {
  error_file=$(mktemp) || return
  "$@" 2>"$error_file"
  rm -f -- "$error_file"
  error_file=''
}

# report_failure NAME: prints one line about a failure within capture_errors; nothing about any other.
report_failure() {
  [ -n "$error_file" ] || return 0
  line=$(head -n 1 "$error_file")
  rm -f -- "$error_file"
  case $line in
    "$1: "*) printf '%s\n' "$line" ;;
    *) printf '%s: %s: see to that, and run this again; the host is as it was\n' "$1" "${line#*: }" ;;
  esac >&2
}

new_path() {
  path_beside "$1" new
}

old_path() {
  path_beside "$1" old
}

# path_beside TARGET new|old: prints a path on the target's file system. It is never in a directory
# hooks/DRIVER.d, where libvirt runs every executable.
path_beside() {
  case $1 in
    */hooks/*.d/*)
      parent=${1%/*}
      printf '%s.virlan-%s' "${parent%.d}" "$2"
      ;;
    *) printf '%s.virlan-%s' "$1" "$2" ;;
  esac
}

# Whether a path exists, be it a broken link.
is_there() {
  [ -e "$1" ] || [ -L "$1" ]
}

# Whether a path is a directory, and no link to one: a rename cannot replace it.
is_directory() {
  [ -d "$1" ] && [ ! -L "$1" ]
}

# Makes a directory and its parents, which roll_back removes again.
make_directory() {
  [ -d "$1" ] && return
  make_directory "${1%/*}"
  mkdir -m 755 -- "$1"
  made_directories="$1
$made_directories"
}

stage() {
  make_directory "${1%/*}"
  rm -rf -- "$(new_path "$1")"
  staged_targets="$staged_targets$1
"
}

stage_file() {
  stage "$3"
  install -m "$1" -- "$2" "$(new_path "$3")"
}

commit_staged() {
  while IFS= read -r target; do
    [ -n "$target" ] || continue
    old=$(old_path "$target")
    rm -rf -- "$old"
    # roll_back restores the last one first.
    replaced_targets="$target
$replaced_targets"
    if is_directory "$target"; then
      mv -T -- "$target" "$old"
    elif is_there "$target"; then
      # A hard link, so that the target exists at every moment.
      ln -P -- "$target" "$old"
    fi
    mv -fT -- "$(new_path "$target")" "$target"
  done <<END
$staged_targets
END
  staged_targets=''
}

roll_back() {
  while IFS= read -r target; do
    [ -n "$target" ] || continue
    old=$(old_path "$target")
    if is_there "$old"; then
      if is_directory "$target" || is_directory "$old"; then rm -rf -- "$target"; fi
      mv -fT -- "$old" "$target"
    elif ! is_there "$(new_path "$target")"; then
      # It did not exist before.
      rm -rf -- "$target"
    fi
  done <<END
$replaced_targets
END
  while IFS= read -r target; do
    [ -z "$target" ] || rm -rf -- "$(new_path "$target")"
  done <<END
$staged_targets
END
  while IFS= read -r directory; do
    [ -z "$directory" ] || rmdir -- "$directory" 2>/dev/null || :
  done <<END
$made_directories
END
}

discard_old() {
  while IFS= read -r target; do
    [ -z "$target" ] || rm -rf -- "$(old_path "$target")"
  done <<END
$replaced_targets
END
}
