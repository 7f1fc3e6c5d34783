# shellcheck shell=bash
# What every script of the local system shares: where things are, which ports
# they use, and how to speak to the reader. Sourced, never run.

set -euo pipefail

STOCKMARKET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${STOCKMARKET_HOME:=$STOCKMARKET_ROOT/.local}"
mkdir -p "$STOCKMARKET_HOME"
STOCKMARKET_HOME=$(cd "$STOCKMARKET_HOME" && pwd)
export STOCKMARKET_ROOT STOCKMARKET_HOME

# Tools are shared by all homes: they are large, and never change while in use.
# shellcheck disable=SC2034 # used by those who source this
readonly tools=$STOCKMARKET_ROOT/.local/tools

# Every port, with its default. Each is on 127.0.0.1 and changed by the
# environment variable of that name.
readonly port_defaults='
NGINX_PORT               3000
LIVEVIEW1_PORT           3001
LIVEVIEW2_PORT           3002
RABBITMQ_PORT            5673
RABBITMQ_DIST_PORT      25673
EPMD_PORT                4370
MONGO1_PORT             27117
MONGO2_PORT             27118
MONGO3_PORT             27119
PUBLISHER_HTTP_PORT      9100
CONSUMER_MSFT_HTTP_PORT  9101
CONSUMER_TSLA_HTTP_PORT  9102
CONSUMER_AAPL_HTTP_PORT  9103
'

export_ports() {
  local variable default
  while read -r variable default; do
    [[ -n $variable ]] || continue
    export "$variable=${!variable:-$default}"
  done <<<"$port_defaults"
}
export_ports

say() { printf '%s\n' "$*" >&2; }

# fail MESSAGE [WHAT TO DO]
fail() {
  printf 'stockmarket: %s\n' "$1" >&2
  [[ -z ${2:-} ]] || printf '  → %s\n' "$2" >&2
  exit 1
}

# A port accepts connections on 127.0.0.1.
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_until SECONDS WHAT COMMAND…: returns as soon as COMMAND succeeds.
wait_until() {
  local limit=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || { say "stockmarket: $what: not within $limit s"; return 1; }
    sleep 0.1
  done
}

# need COMMAND HOW-TO-GET-IT
need() { command -v "$1" >/dev/null || fail "$1 is missing" "install $2"; }
