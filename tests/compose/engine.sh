# shellcheck shell=bash disable=SC2154 # the variables are lib.sh's
# A private Docker engine, in a private network.
#
#   the machine │ the engine's host                │ outside
#               │ host0 192.0.2.1 ─────────────────│ out0 192.0.2.2
#               │ dockerd, its bridges, its rules  │ browsers, port scans
#
# Both networks are namespaces without a route to anywhere else. So the machine's ports and firewall
# do not change, and "reachable from outside" has a clear meaning. Only while images are built, a
# process of the machine lets the engine open connections, for the packages that are built from.

readonly host_network=$engine-host outside=$engine-out

# From a block that is reserved for examples (RFC 5737).
readonly host_address=192.0.2.1 outside_address=192.0.2.2

create_networks() {
  ip netns add "$host_network"
  ip netns add "$outside"
  ip -n "$host_network" link add host0 type veth peer name out0 netns "$outside"
  ip -n "$host_network" address add "$host_address/24" dev host0
  ip -n "$outside" address add "$outside_address/24" dev out0
  local network device
  for network in "$host_network" "$outside"; do
    for device in lo host0 out0; do
      ip -n "$network" link set "$device" up 2> /dev/null || true
    done
  done
}

remove_networks() {
  local network
  for network in "$host_network" "$outside"; do
    if [ -e "/run/netns/$network" ]; then
      ip netns delete "$network"
    fi
  done
}

# A killed engine may still be listed, as a zombie.
is_running() {
  local pid state
  pid=$(cat "$runtime/pid" 2> /dev/null) && state=$(cat "/proc/$pid/stat" 2> /dev/null) && [[ $state != *') Z '* ]]
}

start_engine() {
  ! is_running || return 0
  stop_engine # removes what an interrupted run left
  say "Starting a Docker engine"
  mkdir -p "$home" "$runtime"
  create_networks
  # A namespace of the network only: dockerd must see the machine's cgroups.
  setsid nsenter --net="/run/netns/$host_network" dockerd \
    --host "$DOCKER_HOST" --data-root "$home/data" --exec-root "$runtime/exec" --pidfile "$runtime/dockerd.pid" \
    --log-level warn > "$home/log" 2>&1 < /dev/null &
  echo $! > "$runtime/pid"
  disown
  local attempt
  for ((attempt = 0; attempt < 120; attempt++)); do
    ! docker version > /dev/null 2>&1 || return 0
    is_running || break
    sleep 0.5
  done
  tail -n 20 "$home/log" >&2
  stop_engine
  fail "the Docker engine did not start; the end of its log is above"
}

# Lets the engine, and what it builds, open connections by way of the machine.
connect_engine() {
  disconnect_engine
  slirp4netns --configure --mtu=65520 --disable-host-loopback --netns-type=path "/run/netns/$host_network" way-out \
    > "$home/way-out.log" 2>&1 < /dev/null &
  echo $! > "$runtime/way-out.pid"
  disown
  local attempt
  for ((attempt = 0; attempt < 100; attempt++)); do
    [ -z "$(ip -n "$host_network" route show default)" ] || return 0
    sleep 0.1
  done
  cat "$home/way-out.log" >&2
  fail "the engine has no way to the network"
}

disconnect_engine() {
  [ -e "$runtime/way-out.pid" ] || return 0
  local pid
  pid=$(cat "$runtime/way-out.pid")
  kill "$pid" 2> /dev/null || true
  tail --pid="$pid" --follow /dev/null > /dev/null
  rm "$runtime/way-out.pid"
}

# Keeps only the images.
stop_engine() {
  disconnect_engine
  if is_running; then
    docker swarm leave --force > /dev/null 2>&1 || true
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes > /dev/null 2>&1 || true
    docker volume ls --quiet | xargs --no-run-if-empty docker volume rm --force > /dev/null 2>&1 || true
    docker network prune --force > /dev/null 2>&1 || true
    local pid
    pid=$(cat "$runtime/pid")
    kill "$pid"
    tail --pid="$pid" --follow /dev/null > /dev/null
  elif [ -e "$runtime/pid" ]; then
    # The engine was killed: its containers still run, and its data may be incomplete.
    local left
    left=$(pgrep --full -- "$runtime/exec" | paste --serial --delimiters ,) || true
    if [ -n "$left" ]; then
      # The containers' own first processes, and the engine's helpers, whose children they are.
      { pgrep --parent "$left" || true; tr , '\n' <<< "$left"; } | xargs kill -9 2> /dev/null || true
    fi
    remove_mounts
    rm -rf "$home/data"
  fi
  remove_mounts
  remove_networks
  rm -rf "$runtime"
}

remove_mounts() {
  awk -v data="$home/" -v runtime="$runtime/" 'index($2, data) == 1 || index($2, runtime) == 1 { print $2 }' /proc/mounts |
    tac | xargs --no-run-if-empty umount --lazy
}
