#!/bin/sh
# lint.sh PACKAGE…: checks .deb files by lintian and .rpm files by rpmlint. Prints what they find, and fails then.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
code=0
for package; do
  case $package in
    # It is not uploaded to Debian, so no bug requests it.
    *.deb) lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --allow-root "$package" ;;
    *.rpm) rpmlint --strict --config "$here/rpmlint.toml" "$package" ;;
    *) printf 'lint.sh: %s is neither a .deb nor an .rpm\n' "$package" >&2 && false ;;
  esac || code=1
done
exit "$code"
