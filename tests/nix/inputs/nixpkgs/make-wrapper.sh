# shellcheck shell=bash
# makeWrapper PROGRAM WRAPPER [--add-flags FLAGS]
set -eu
[ -x "$1" ] || { echo "makeWrapper: $1 cannot be executed" >&2; exit 1; }
mkdir -p "$(dirname "$2")"
case "${3:-}" in
  "") flags= ;;
  --add-flags) flags=$4 ;;
  *) echo "makeWrapper: $3 is not among what the stand-in knows" >&2; exit 1 ;;
esac
printf '#!%s\nexec %s %s "$@"\n' "$BASH" "$1" "$flags" > "$2"
chmod +x "$2"
