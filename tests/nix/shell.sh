# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stage shell: the shell of `nix develop` has all that the scripts need. The stand-in of a package has only the
# commands that the package itself has.

# packages_of SYSTEM: prints the names of the packages in that system's shell.
packages_of() {
  nix eval --raw "$flake#devShells.$1.default" "${inputs[@]}" \
    --apply 'shell: builtins.concatStringsSep "\n" (map (package: package.name) shell.packages)' 2> /dev/null
}

test_shell() {
  say "The shell of nix develop"
  flake build "devShells.$system.default" --out-link "$scratch/shell" 2> "$scratch/log" ||
    { tail -n 20 "$scratch/log" >&2; fail "the shell does not build"; }
  local copy=$scratch/copy command path
  path=$(cat "$scratch/shell")
  copy_project "$copy"

  # Like every shell of nixpkgs it also has the compiler.
  # shellcheck disable=SC2016 # of the inner shell
  env -i HOME="$scratch" PATH="$path:$local/host/stdenv:$local/host/compiler" STOCKMARKET_HOME="$scratch/home" bash -c '
    source "$0/scripts/lib.sh"
    source "$0/scripts/machine.sh"
    require_compilers
    require_servers
    require_test_tools
    stop_if_lacking' "$copy" > "$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "the shell lacks something"; }
  for command in openssl curl jq; do
    PATH=$path type -P "$command" > /dev/null || fail "the shell has no $command"
  done
  ok "it lacks nothing that make up and make test ask for"

  # Neither apt, pip nor a compiler is there: what the shell lacks cannot be had.
  env -i HOME="$scratch" PATH="$path:$local/host/stdenv" STOCKMARKET_HOME="$scratch/home" \
    "$copy/scripts/install" servers nginx process-compose lint browser > "$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2; fail "scripts/install does not find all in the shell"; }
  for command in rabbitmq-server rabbitmqctl epmd mongod nginx process-compose shellcheck chromium; do
    grep -qF "$(dirname "$(PATH=$path type -P "$command")")" "$copy/.local/tools/bin/$command" ||
      fail "scripts/install takes another $command than the shell's"
  done
  [ "$("$copy/.local/tools/bin/epmd")" = "$("$copy/.local/tools/bin/rabbitmqctl")" ] ||
    fail "epmd is not of the Erlang that RabbitMQ runs on"
  ok "scripts/install takes every server from it, epmd of RabbitMQ's Erlang too, and fetches nothing"

  # Where there is an older process-compose, it asks for Go to build one.
  mkdir "$scratch/old"
  printf '#!%s\necho "Version:        v1.9.0"\n' "$BASH" > "$scratch/old/process-compose"
  chmod +x "$scratch/old/process-compose"
  ln -s "$(type -P flock)" "$scratch/old/"
  rm -r "$copy/.local"
  ! env -i HOME="$scratch" PATH="$scratch/old:$local/host/stdenv" STOCKMARKET_HOME="$scratch/home" \
    "$copy/scripts/install" process-compose > "$scratch/log" 2>&1 || fail "scripts/install takes an old process-compose"
  grep -q 'go is missing' "$scratch/log" || { cat "$scratch/log" >&2; fail "scripts/install fails for another reason"; }
  ok "an older process-compose is not taken"

  local name
  for name in aarch64-darwin x86_64-darwin; do
    packages_of "$name" > "$scratch/packages"
    grep -qx host-docker-compose "$scratch/packages" || fail "the shell of $name has no docker-compose"
    ! grep -E 'mongo|rabbitmq|erlang|nginx|process-compose|util-linux' "$scratch/packages" ||
      fail "the shell of $name has servers that no script can start there"
  done
  ok "a Mac's has what works there, and no servers"
}
