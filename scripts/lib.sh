# shellcheck shell=bash
# Shared by all scripts of the local system: folders, ports and messages. Sourced.

set -euo pipefail

[[ $(uname -s) == Linux ]] || {
  echo "stockmarket: this runs on Linux only; with Docker, 'docker compose up' runs the system on $(uname -s)" >&2
  exit 1
}

# What a developer's shell may export for itself or for other projects. With CDPATH, `cd` goes elsewhere
# and prints where. The others would have Go and Cargo compile in another way or for another machine,
# and a go.work above the clone would not know our modules.
unset CDPATH POSIXLY_CORRECT GOFLAGS GO111MODULE GOOS GOARCH CARGO_BUILD_TARGET
export GOWORK=off
# Go, Cargo and npm keep their files below it.
export HOME=${HOME:-~}

STOCKMARKET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${STOCKMARKET_HOME:=$STOCKMARKET_ROOT/.local}"
mkdir -p "$STOCKMARKET_HOME" "$STOCKMARKET_ROOT/.local"
STOCKMARKET_HOME=$(cd "$STOCKMARKET_HOME" && pwd)
export STOCKMARKET_ROOT STOCKMARKET_HOME

# All homes share the tools: they are large. Clones may share them too, by a link, so commands contain
# their real path.
tools=$(realpath --canonicalize-missing "$STOCKMARKET_ROOT/.local/tools")
# shellcheck disable=SC2034 # the sourcing script uses it
readonly tools

# port_variables: the names in scripts/ports. Each is exported, with the port.
port_variables=()
while read -r variable default; do
  [[ -n $variable && $variable != '#'* ]] || continue
  port_variables+=("$variable")
  export "$variable=${!variable:-$default}"
done <"$STOCKMARKET_ROOT/scripts/ports"
unset variable default

# mongodb_members: prints the replica set's members as host:port,host:port,…
mongodb_members() {
  local variable members=()
  for variable in "${port_variables[@]}"; do
    [[ $variable != MONGO*_PORT ]] || members+=("127.0.0.1:${!variable}")
  done
  (IFS=, && printf '%s' "${members[*]}")
}

say() { printf '%s\n' "$*" >&2; }

# step WHAT: prints what begins now, and the seconds since the script, or its caller, began.
step() {
  local now=${EPOCHREALTIME/[.,]/}
  : "${started_us:=${STARTED_US:-$now}}"
  printf '[%5.1f s] %s\n' "$(((now - started_us) / 100000))e-1" "$*" >&2
}

# complain MESSAGE [WHAT TO DO]
complain() {
  printf 'stockmarket: %s\n' "$1" >&2
  [[ -z ${2:-} ]] || printf '  → %s\n' "$2" >&2
}

# fail MESSAGE [WHAT TO DO]
fail() {
  complain "$@"
  exit 1
}

# is_at_least VERSION VERSION: whether the first is the second or a later one.
is_at_least() { [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

# go_build FOLDER PACKAGE PROGRAM: compiles a program without inlining, which takes two thirds of the
# time; all with the same options, so that Go's standard library is compiled once.
go_build() {
  CGO_ENABLED=0 go -C "$STOCKMARKET_ROOT/$1" build -buildvcs=false -gcflags=all=-l -ldflags='-s -w' -o "$3" "$2"
}

# is_open PORT [ADDRESS]: whether it accepts connections, on 127.0.0.1 by default.
is_open() { (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

# wait_until SECONDS WHAT COMMAND…: returns as soon as COMMAND succeeds.
wait_until() {
  local limit=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || {
      say "stockmarket: $what: not within $limit s"
      return 1
    }
    sleep 0.1
  done
}
