# shellcheck shell=bash
# What every script of the local system shares: where things are, which ports
# they use, and how to speak to the reader. Sourced, never run.

set -euo pipefail

STOCKMARKET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${STOCKMARKET_HOME:=$STOCKMARKET_ROOT/.local}"
mkdir -p "$STOCKMARKET_HOME" "$STOCKMARKET_ROOT/.local"
STOCKMARKET_HOME=$(cd "$STOCKMARKET_HOME" && pwd)
export STOCKMARKET_ROOT STOCKMARKET_HOME

# Tools are shared by all homes: they are large, and never change while in use.
# shellcheck disable=SC2034 # used by those who source this
readonly tools=$STOCKMARKET_ROOT/.local/tools

# port_variables: the names in scripts/ports, each exported with its port.
port_variables=()
while read -r variable default; do
  [[ -n $variable && $variable != '#'* ]] || continue
  port_variables+=("$variable")
  export "$variable=${!variable:-$default}"
done <"$STOCKMARKET_ROOT/scripts/ports"
unset variable default

# The replica set's members, as its users are told them: host:port,host:port,…
mongodb_members() {
  local variable members=()
  for variable in "${port_variables[@]}"; do
    [[ $variable != MONGO*_PORT ]] || members+=("127.0.0.1:${!variable}")
  done
  (IFS=, && printf '%s' "${members[*]}")
}

say() { printf '%s\n' "$*" >&2; }

# step WHAT: says what begins now, and how long after the script did.
step() {
  local now=${EPOCHREALTIME/[.,]/}
  : "${started_us:=$now}"
  printf '[%5.1f s] %s\n' "$(((now - started_us) / 100000))e-1" "$*" >&2
}

# fail MESSAGE [WHAT TO DO]
fail() {
  printf 'stockmarket: %s\n' "$1" >&2
  [[ -z ${2:-} ]] || printf '  → %s\n' "$2" >&2
  exit 1
}

# need COMMAND HOW-TO-GET-IT
need() { command -v "$1" >/dev/null || fail "$1 is missing" "install $2"; }

# A port accepts connections on 127.0.0.1.
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

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
