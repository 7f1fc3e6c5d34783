# shellcheck shell=bash
# What this machine has, and what it lacks. Sourced after lib.sh, by the scripts that fetch, compile or
# test.

# shellcheck disable=SC2154 # of lib.sh
readonly debian=$tools/debian

# --- what it has ------------------------------------------------------------------

# first FILE…: prints the first that can be run.
first() {
  local file
  for file in "$@"; do
    [[ ! -x $file ]] || { echo "$file"; return; }
  done
  return 1
}

# in_path NAME: prints the machine's own command. Our folder, which may be in PATH, does not count: a
# command that calls itself never ends.
in_path() {
  local path=:$PATH:
  path=${path//":$tools/bin:"/:}
  path=${path#:}
  PATH=${path%:} command -v "$1" || true
}

# RabbitMQ's own start scripts lie beside rabbitmq-env. Those in Debian's PATH insist on the system's
# user and folders.
find_rabbitmq() {
  local folder
  for folder in "$(dirname "$(in_path rabbitmq-server)")" /usr/lib/rabbitmq/bin \
    "$debian"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin; do
    [[ -e $folder/rabbitmq-env && -x $folder/rabbitmq-server ]] && { echo "$folder"; return; }
  done
  return 1
}

find_nginx() { first "$(in_path nginx)" /usr/sbin/nginx "$debian/usr/sbin/nginx"; }

is_recent_mongod() {
  local major
  major=$("$1" --version 2>/dev/null | sed -n 's/^db version v\([0-9]*\)\..*/\1/p') && ((${major:-0} >= 6))
}

# The machine's own mongod, unless it is too old.
find_mongod() {
  local mongod
  mongod=$(in_path mongod)
  [[ -n $mongod ]] && is_recent_mongod "$mongod" && echo "$mongod"
}

find_pip() { python3 -m pip --version 2>/dev/null; }

# Ubuntu's chromium-browser may be a script that only tells one to install a snap.
find_browser() {
  local name browser
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    browser=$(in_path "$name")
    [[ -n $browser ]] && "$browser" --version >/dev/null 2>&1 && { echo "$browser"; return; }
  done
  first "$debian/usr/lib/chromium/chromium"
}

# --- what it lacks ----------------------------------------------------------------

lacking=0
# lacks WHAT WHAT-TO-DO
lacks() {
  complain "$@"
  lacking=1
}
stop_if_lacking() { ((lacking == 0)) || exit 1; }

# Before anything is fetched or compiled, a script calls those of the following that it depends on. They
# say all that the machine lacks; then stop_if_lacking ends the script.

require_compilers() {
  require_paths
  require_commands
  require_rust
  require_go
  require_node
}

require_servers() {
  require_fetchable RabbitMQ find_rabbitmq
  require_fetchable NGINX find_nginx
  require_mongod "$(uname -sm)" /proc/cpuinfo
}

require_test_tools() {
  local command
  for command in git make gofmt; do
    command -v "$command" >/dev/null || lacks "$command is missing" "install $command"
  done
  { cargo fmt --version && clippy-driver --version; } >/dev/null 2>&1 ||
    lacks 'rustfmt or clippy is missing' 'install them: rustup component add rustfmt clippy'
}

# In PATH, in configuration files, in commands of RabbitMQ or in patterns of file names, these characters have a meaning.
require_paths() {
  local path
  for path in "$STOCKMARKET_ROOT" "$STOCKMARKET_HOME"; do
    [[ $path != *[]['"$`\:;#{}%*?'$'\'\n\t']* ]] ||
      lacks "the path $path has one of these characters: [ ] ' \" \$ \` \\ : ; # { } % * ?" \
        'use a folder whose path has none of them'
  done
}

# find_version PROGRAM ARGUMENT WHAT-TO-DO: sets `version`, or says that PROGRAM is missing or does not run.
find_version() {
  local output
  command -v "$1" >/dev/null || { lacks "$1 is missing" "$3"; return 1; }
  if output=$("$1" "$2" 2>&1) && [[ $output =~ [0-9]+(\.[0-9]+)+ ]]; then
    version=${BASH_REMATCH[0]}
  else
    lacks "$1 does not run: ${output##*$'\n'}" "$3"
    return 1
  fi
}

# require_version PROGRAM VERSION WHAT-TO-DO
require_version() {
  find_version "$1" --version "$3" || return 0
  is_at_least "$version" "$2" || lacks "$1 $version is too old" "$3"
}

require_commands() {
  local command
  require_version bash 5.1 'install Bash 5.1 or later'
  for command in flock setpriv setsid renice; do
    command -v "$command" >/dev/null || lacks "$command is missing" 'install util-linux'
  done
}

# Rust's linker is the C compiler, and some crates are partly in C.
require_rust() {
  local needed advice program
  needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$STOCKMARKET_ROOT/Cargo.toml")
  advice="install Rust $needed or later: https://rustup.rs"
  for program in rustc cargo; do
    require_version "$program" "$needed" "$advice"
  done
  can_compile_c || lacks "there is no C compiler that works (cc), which Rust needs" \
    'install gcc and the headers of the C library (Debian: apt-get install gcc libc6-dev)'
}

can_compile_c() {
  local program status=0
  program=$(mktemp)
  cc -x c -o "$program" - <<<'int main(void) { return 0; }' 2>/dev/null || status=1
  rm -f "$program"
  return "$status"
}

require_go() {
  local needed advice
  needed=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' "$STOCKMARKET_ROOT/vendor-apps/stock-publisher/go.mod")
  advice="install Go $needed or later: https://go.dev/dl/"
  find_version go version "$advice" || return 0
  is_at_least "$version" "$needed" || fetches_newer_go || lacks "Go $version is too old" "$advice"
}

# Since 1.21, Go fetches the version that go.mod asks for, unless its settings forbid it.
fetches_newer_go() { is_at_least "$version" 1.21 && [[ $(go env GOTOOLCHAIN) =~ (^|\+)auto$ ]]; }

require_node() {
  local needed advice
  needed=$(sed -n 's/.*"node": ">=\(.*\)".*/\1/p' "$STOCKMARKET_ROOT/vendor-apps/stock-liveview/package.json")
  advice="install Node $needed or later: https://nodejs.org/"
  require_version node "$needed" "$advice"
  command -v npm >/dev/null || lacks 'npm is missing' "$advice"
}

# require_fetchable NAME FINDER: the machine has it, or apt can fetch it.
require_fetchable() {
  "$2" >/dev/null || command -v apt-get >/dev/null ||
    lacks "this machine has neither $1 nor apt-get to fetch it with" "install $1, or run the system in Docker: docker compose up"
}

# require_mongod SYSTEM CPUINFO: the machine has a mongod, or can run the one that we fetch.
require_mongod() {
  local system=$1 cpuinfo=$2 library
  ! find_mongod >/dev/null || return 0
  local advice='install MongoDB Community Server 6.0 or later, or run the system in Docker: docker compose up'
  if [[ $system != 'Linux x86_64' ]]; then
    lacks "this machine has no mongod 6.0 or later, and there is none to fetch for $system" "$advice"
    return
  fi
  grep -qw avx "$cpuinfo" ||
    lacks "this machine's processor has no AVX, which MongoDB needs" \
      "use another machine, or give the virtual machine its host's type of processor"
  library=$(getconf GNU_LIBC_VERSION 2>/dev/null) || library=
  is_at_least "${library#glibc }" 2.34 ||
    lacks "the mongod that we fetch needs glibc 2.34 or later, and this machine has ${library:-another C library}" "$advice"
  [[ -x $tools/mongod/mongod ]] || require_fetchable pip find_pip
}
