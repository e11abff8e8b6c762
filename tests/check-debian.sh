#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What debian/ says again and must not say otherwise: the version, the units, the packages that a build needs.
#
#   P2PDI_SRCDIR: the source tree, a checkout or what a tarball gives.
set -eu

cd "${P2PDI_SRCDIR:-${srcdir:-.}}"
failed=0
complain() {
        echo "check-debian.sh: $1" >&2
        failed=1
}

# ---- version ----
ours=$(sed -n 's/^AC_INIT(\[p2pdi\], \[\([^]]*\)\].*/\1/p' configure.ac)
debian=$(sed -n '1s/^p2pdi (\([^)]*\)) .*/\1/p' debian/changelog)
[ -n "$ours" ] && [ "$ours" = "$debian" ] || complain "configure.ac says version \"$ours\", debian/changelog \"$debian\"."

# ---- units: debhelper starts, stops and enables those that debian/rules names; templates are the maintainer scripts' ----
for unit in systemd/*.service.in systemd/*.socket; do
        unit=${unit#systemd/}
        unit=${unit%.in}
        case $unit in
        *@*) grep -q -F "'${unit%.*}*.${unit##*.}'" debian/prerm || complain "debian/prerm does not stop the instances of $unit." ;;
        *) grep -q -w -F -e "$unit" debian/rules || complain "debian/rules does not name $unit." ;;
        esac
done

# ---- packages: bootstrap installs what the Debian package's build needs. systemd.pc's is chosen there, debhelper brings its own sequences ----
sed -n '/^Build-Depends:/,/^$/s/^ \([a-z0-9+.-]*\).*/\1/p' debian/control | while read -r package; do
        case $package in
        debhelper-compat) package=debhelper ;;
        dh-sequence-*) continue ;;
        pkgconf) package=pkg-config ;;
        esac
        grep -v '^#' bootstrap | grep -q -w -F -e "$package" || echo "$package"
done | { ! grep .; } || complain "bootstrap does not install these, which debian/control wants."
exit $failed
