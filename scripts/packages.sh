#!/bin/sh
# usage: packages.sh ROLE...   install with apt what of these roles in scripts/packages is missing (sudo when not root)
set -eu
cd "$(dirname "$0")"
missing=
while read -r role name; do
    case " $* " in *" $role "*) ;; *) continue ;; esac
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing="$missing $name"
done <<EOF
$(grep -v '^#' packages)
EOF
[ -z "$missing" ] && exit 0
sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "packages.sh: missing:$missing; install them as root (sudo is not here)" >&2; exit 1; }
    sudo=sudo
fi
echo "installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
