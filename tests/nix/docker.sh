# A private Docker engine, which ends with the script that started it. It uses the machine's network
# and changes nothing there.
# shellcheck shell=bash disable=SC2154 # local is lib.sh's

# start_docker: sets DOCKER_HOST. The engine's data is in a temporary folder, removed at its end.
start_docker() {
  docker_home=$(mktemp -d /tmp/stockmarket-docker.XXXXXX)
  export DOCKER_HOST=unix://$docker_home/docker.sock
  dockerd \
    --host "$DOCKER_HOST" --data-root "$docker_home/data" --exec-root "$docker_home/exec" \
    --pidfile "$docker_home/dockerd.pid" --bridge none --iptables=false --ip6tables=false > "$docker_home/log" 2>&1 &
  docker_pid=$!
  local second
  for second in {1..60}; do
    if docker version > /dev/null 2>&1; then
      return
    fi
    kill -0 "$docker_pid" 2> /dev/null || break
    sleep 0.5
  done
  tail -n 20 "$docker_home/log" >&2
  fail "The Docker engine did not start (tried for $((second / 2)) s)."
}

stop_docker() {
  if [ -n "${docker_pid:-}" ]; then
    docker ps -aq | xargs -r docker rm -f > /dev/null || true
    kill "$docker_pid" 2> /dev/null || true
    wait "$docker_pid" 2> /dev/null || true
    docker_pid=
  fi
  if [ -n "${docker_home:-}" ]; then
    umount "$docker_home"/exec/netns/* 2> /dev/null || true
    rm -rf "$docker_home"
    docker_home=
  fi
}
