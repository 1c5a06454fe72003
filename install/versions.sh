# shellcheck shell=sh
# virlan: the installed versions of the program. install.sh and setup source this file after place.sh.
#
# Each installation has a directory of its own, /usr/lib/virlan-versions/TIME-PID, and /usr/lib/virlan is a link to
# one of them: replacing the link takes one step, and processes of the replaced version find their files until the
# next installation. A package manager replaces files one by one, so packages contain the program in
# /usr/lib/virlan-package, where nothing runs it, and setup makes a version of it.

program_link=/usr/lib/virlan
versions=/usr/lib/virlan-versions
# shellcheck disable=SC2034 # install.sh and setup read it
packaged=/usr/lib/virlan-package

# stage_version: stages the directory of a new version and sets version to it; the caller then makes
# "$(new_path "$version")".
stage_version() {
  version=$versions/$(date -u +%Y%m%d-%H%M%S)-$$
  stage "$version"
}

# Stages the link to the new version.
stage_link() {
  stage "$program_link"
  ln -s -- "virlan-versions/${version##*/}" "$(new_path "$program_link")"
}

# Removes the versions but the present one and the one before, whose processes may still run.
discard_versions() {
  before=$(readlink "$(old_path "$program_link")" || :)
  for version in "$versions"/*; do
    case virlan-versions/${version##*/} in
      "$(readlink "$program_link")" | "$before") ;;
      *) rm -rf -- "$version" ;;
    esac
  done
}
