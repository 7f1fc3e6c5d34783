# shellcheck shell=bash
# nuke-refs FILE…: overwrites every store path in the files with one that does not exist.
set -eu
sed -i -E "s,(${NIX_STORE:-/nix/store}/)[a-z0-9]{32},\1eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee,g" "$@"
