# shellcheck shell=bash
# The supervisor: the process-compose that runs process-compose.yaml for this home. Sourced after lib.sh.

readonly run=$STOCKMARKET_HOME/run logs=$STOCKMARKET_HOME/logs
readonly supervisor_pid_file=$run/process-compose.pid

# Every process that the supervisor starts has this mark in its environment. So it is found even after
# the supervisor is gone.
readonly mark=STOCKMARKET_SUPERVISED_HOME=$STOCKMARKET_HOME

is_marked() { grep -qszxF -- "$mark" "/proc/$1/environ"; }

is_up() { [[ -s $supervisor_pid_file ]] && is_marked "$(cat "$supervisor_pid_file")"; }
is_down() { ! is_up; }

# marked_processes: prints the ids of all processes of this home's system.
marked_processes() {
  grep -lszxF -- "$mark" /proc/[0-9]*/environ | cut -d/ -f3 || true
}
none_left() { [[ -z $(marked_processes) ]]; }

# Only one script at a time starts or stops this home's system. Started processes do not inherit the lock.
lock() {
  mkdir -p "$run" "$logs"
  exec {lock_fd}>"$run/lock"
  flock "$lock_fd"
}

# These variables of the user's environment belong to another system: the parts read their addresses from
# files and share the other defaults. Variables that begin with PC_ would change process-compose itself.
# The socket's path is relative, because the system limits its length.
start_supervisor() {
  (
    cd "$run" || exit
    unset RABBITMQ_URL MONGODB_URL MONGODB_DB MONGODB_COLLECTION COMPANY "${!PC_@}"
    # shellcheck disable=SC2154 # of lib.sh
    exec env "$mark" XDG_CONFIG_HOME="$run" XDG_CACHE_HOME="$run" \
      setsid "$tools/bin/process-compose" up \
      --config "$STOCKMARKET_ROOT/process-compose.yaml" \
      --tui=false --disable-dotenv \
      --unix-socket process-compose.sock \
      --log-file "$logs/process-compose.log" \
      >/dev/null 2>"$logs/process-compose.err" </dev/null {lock_fd}>&-
  ) &
  echo $! >"$supervisor_pid_file"
}

# Ends everything of this home. The supervisor stops the parts in the order of their dependencies.
stop_everything() {
  if is_up; then
    kill -TERM "$(cat "$supervisor_pid_file")"
    wait_until 40 "the parts end" is_down || true
  fi
  end_leftovers
  rm -f "$supervisor_pid_file" "$run/process-compose.sock"
}

# Ends what a killed supervisor left behind.
end_leftovers() {
  local signal pids
  for signal in TERM KILL; do
    pids=$(marked_processes)
    [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086 # one word per process
    kill -s "$signal" $pids 2>/dev/null || true
    wait_until 10 "processes end after SIG$signal" none_left && return
  done
}
