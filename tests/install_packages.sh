#!/bin/sh
# Installs the Debian packages named on the command line that are missing, as root or by sudo; without either it prints the command.
command -v dpkg-query >/dev/null 2>&1 || { echo "tvg: not a Debian system: make sure to have what these packages hold: $*" >&2; exit 0; }
missing=
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "tvg: installing$missing"
if [ "$(id -u)" = 0 ]; then
  as_root=env
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
  as_root=sudo
else
  echo "tvg: this needs root. Run: apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
install() {
  # shellcheck disable=SC2086 # a list of words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
install 2>/dev/null || { $as_root apt-get update -qq && install; }
