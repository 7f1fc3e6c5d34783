# shellcheck shell=bash
# Shared by the scripts of this folder: folders, environment and messages. Sourced.
set -euo pipefail

unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export here=$root/tests/compose
# Tools and images are kept for the next run. Of an engine, only its images are.
cache=$root/.local/compose
# Several engines can run at the same time, each with its own name.
home=$cache/engines/${ENGINE:-try}
# What an engine has only while it runs. The path is short, because the system limits sockets' paths.
engine=stockmarket-${ENGINE:-try}-$(sha256sum <<< "$home" | cut -c 1-6)
runtime=/run/$engine

export DOCKER_HOST=unix://$runtime/docker.sock DOCKER_CONFIG=$cache/docker
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY
for folder in sbin bin usr/sbin usr/bin; do
  PATH=$cache/tools/$folder:$PATH
done
export PATH
unset folder

# find_libraries: where unpacked programs find their libraries.
find_libraries() {
  local libraries
  libraries=$cache/tools/usr/lib/$(uname -m)-linux-gnu
  [ ! -d "$libraries" ] || export LD_LIBRARY_PATH=$libraries
  [ ! -d "$libraries/xtables" ] || export XTABLES_LIBDIR=$libraries/xtables
}
find_libraries

say() { printf '== %s\n' "$*" >&2; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# one_at_a_time FOLDER: waits until no other process works on this folder, until this script ends.
one_at_a_time() {
  mkdir -p "$1"
  exec {lock}> "$1/.lock"
  flock "$lock"
}
