#!/bin/sh
# all.sh: builds all that a release consists of, into build/packages: the packages for each CPU, and node-libvirt for npm.
# Needs Node.js, npm, dpkg-deb, rpmbuild, lintian and rpmlint; Containerfile has them.
set -eu
cd "$(dirname "$0")/../.."
for program in npm dpkg-deb rpmbuild lintian rpmlint; do
  command -v "$program" >/dev/null || { printf 'all.sh: %s is missing: install it\n' "$program" >&2 && exit 1; }
done
npm ci --no-audit --no-fund --loglevel=error
npm run --silent build
npm run --silent build:cockpit
mkdir -p build/packages
sh install/package/build.sh virlan cockpit-virlan
for cpu in x64 arm64; do sh install/package/build.sh --cpu "$cpu" virlan-standalone; done
npm pack --silent --workspace node-libvirt --pack-destination build/packages
sh install/package/lint.sh build/packages/*.deb build/packages/*.rpm
