# Shared by the scripts of this folder: a private Nix, and stand-ins for the flake's inputs. Sourced.
# shellcheck shell=bash
#
# The package registries that the other builds use are enough. The store, its database and its settings
# lie under .local/nix. The machine's own Nix, if it has one, is not touched.
set -euo pipefail

unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/nix
local=$root/.local/nix
system=$(uname -m)-linux
# The flake under test: the files of this work tree that git tracks, or FLAKE.
flake=${FLAKE:-git+file://$root}

# FULL=1 builds the programs as they are published, and all images a second time from nothing. Without
# it the optimizer does less, which takes a third of the time.
if [ -z "${FULL:-}" ]; then
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
fi

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# need COMMAND PACKAGE: installs the Debian package of a missing command.
missing=()
need() {
  if ! command -v "$1" > /dev/null; then
    missing+=("$2")
  fi
}

install_packages() {
  need nix nix-bin
  need skopeo skopeo
  need jq jq
  need patchelf patchelf
  need python3 python3
  need dockerd docker.io
  need docker-registry docker-registry
  if [ "${#missing[@]}" -gt 0 ]; then
    say "Installing ${missing[*]}"
    apt-get update -qq
    # Without starting their services.
    local policy=/usr/sbin/policy-rc.d made='' status=0
    if ! [ -e "$policy" ]; then
      made=$policy
      install -m 755 <(printf '#!/bin/sh\nexit 101\n') "$policy"
    fi
    apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null || status=$?
    [ -z "$made" ] || rm "$made"
    [ "$status" -eq 0 ] || fail "apt-get could not install ${missing[*]}"
    missing=()
  fi
}

# Tools that Debian does not package, from the registries of their languages, at fixed versions.
install_tools() {
  mkdir -p "$local/tools/bin"
  local tool
  for tool in actionlint regctl; do
    if ! [ -x "$local/tools/bin/$tool" ]; then
      say "Building $tool"
      (cd "$here/tools" && go build -o "$local/tools/bin/" "$(tool_path "$tool")")
    fi
  done
  if ! [ -x "$local/tools/bin/deadnix" ] || ! [ -x "$local/tools/bin/nixfmt" ]; then
    say "Building nixfmt and deadnix"
    # Not optimized: they run only for a moment.
    cargo install --quiet --debug --locked --root "$local/tools" --target-dir "$local/tools/target" \
      nixfmt_rs@0.5.3 deadnix@1.3.1
    rm -rf "$local/tools/target"
  fi
}

tool_path() {
  case $1 in
    actionlint) echo github.com/rhysd/actionlint/cmd/actionlint ;;
    regctl) echo github.com/regclient/regclient/cmd/regctl ;;
  esac
}

# A Nix with settings, store and database of its own.
use_own_nix() {
  export NIX_CONF_DIR=$local/etc NIX_STORE_DIR=$local/store NIX_STATE_DIR=$local/var
  export NIX_LOG_DIR=$local/log XDG_CACHE_HOME=$local/cache
  unset NIX_PATH NIX_REMOTE
  mkdir -p "$NIX_CONF_DIR" "$NIX_STORE_DIR" "$NIX_STATE_DIR" "$local/go-cache"
  # As on nixpkgs, a build sees no network, no home folder and no /usr/bin/env: only what it names, and the
  # files of the machine that the stand-ins are made of. What fetches is let out by __noChroot.
  cat > "$NIX_CONF_DIR/nix.conf" <<SETTINGS
experimental-features = nix-command flakes
sandbox = relaxed
sandbox-fallback = false
sandbox-paths = $(tr '\n' ' ' < "$local/host/sandbox-paths")
build-users-group =
substituters =
flake-registry =
warn-dirty = false
max-jobs = 2
cores = 2
SETTINGS
}

# link_programs FOLDER PROGRAM…: a build sees only the programs that nixpkgs' stdenv has.
link_programs() {
  local folder=$1 program
  shift
  rm -rf "$folder"
  mkdir -p "$folder"
  for program; do
    command -v "$program" > /dev/null || fail "this machine has no $program"
    ln -s "$(command -v "$program")" "$folder/$program"
  done
}

# The python3 in PATH may be a script that looks for one in the home folder.
python() { python3 -c "import sys; print(sys.$1)"; }

host_program() {
  PATH=$local/tools/bin:$PATH:$root/.local/tools/bin command -v "$1" || true
}

# Writes a file with this machine's programs, for the stand-ins.
describe_host() {
  link_programs "$local/host/stdenv" \
    bash sh cat cp mv rm mkdir rmdir ln ls chmod touch head tail cut sort uniq tr wc tee \
    basename dirname readlink realpath mktemp env true false test expr date sleep printf echo uname id df od nproc \
    find xargs diff cmp sed grep awk tar gzip make patchelf
  ln -s "$(python executable)" "$local/host/stdenv/python3"
  # A copy, because nothing has /usr/bin/env there.
  rm "$local/host/stdenv/env"
  cp "$(realpath "$(command -v env)")" "$local/host/stdenv/env"
  link_programs "$local/host/compiler" cc ld ar as ranlib strip objcopy nm

  local rust program path gcc
  gcc=$(dirname "$(cc -print-libgcc-file-name)")
  rust=$(rustc --print sysroot)
  {
    echo '{'
    echo "  system = \"$system\";"
    echo "  bash = \"$(command -v bash)\";"
    echo "  stdenv = \"$local/host/stdenv\";"
    echo "  compiler = \"$local/host/compiler\";"
    echo "  libc = \"$(realpath "$(dirname "$(cc -print-file-name=libc.so)")")\";"
    echo "  headers = \"/usr/include/$(cc -print-multiarch)\";"
    echo "  gccLibrary = \"$gcc\";"
    echo "  gccPrograms = \"$(dirname "$(cc -print-prog-name=collect2)")\";"
    echo "  gccShared = \"$(realpath --no-symlinks "$(cc -print-file-name=libgcc_s.so.1)")\";"
    echo "  gccVersion = \"$(basename "$(dirname "$gcc")")/$(basename "$gcc")\";"
    echo "  goCache = \"$local/go-cache\";"
    echo "  home = \"$HOME\";"
    echo "  rustupHome = \"${RUSTUP_HOME:-$HOME/.rustup}\";"
    echo "  rustTarget = \"$(rustc -vV | sed -n 's/^host: //p')\";"
    echo "  nodeVersion = \"$(node --version | tr -d v)\";"
    echo "  certificates = \"${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}\";"
    echo '  programs = {'
    for program in node npm npx go gofmt jq skopeo regctl shellcheck actionlint nixfmt deadnix \
      nginx ldd patchelf openssl curl git make docker docker-compose flock renice setpriv setsid chromium; do
      path=$(host_program "$program")
      [ -z "$path" ] || echo "    $program = \"$path\";"
    done
    for program in cargo rustc rustdoc cargo-clippy clippy-driver cargo-fmt rustfmt; do
      echo "    $program = \"$rust/bin/$program\";"
    done
    echo '  };'
    # The settings with which this machine's package clients reach their registries.
    echo '  environment = {'
    echo "    npm_config_userconfig = \"$HOME/.npmrc\";"
    echo "    GOENV = \"$(go env GOENV)\";"
    for program in SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS GOPROXY GOFLAGS GOSUMDB GONOSUMDB \
      HTTPS_PROXY HTTP_PROXY NO_PROXY https_proxy http_proxy no_proxy; do
      [ -z "${!program:-}" ] || echo "    $program = \"${!program}\";"
    done
    echo '  };'
    echo '  cargoProfile = {'
    for program in "${!CARGO_PROFILE_RELEASE_@}"; do
      echo "    $program = \"${!program}\";"
    done
    echo '  };'
    echo '}'
  } > "$local/host/host.nix"
  sandbox_paths > "$local/host/sandbox-paths"
}

# sandbox_paths: prints the machine's files that a build may see: the programs of the stand-ins, and the folders
# of their libraries and tools. No file lies in one of the folders: Nix would empty it while it prepares the
# sandbox.
sandbox_paths() {
  local -a folders
  local program folder
  mkdir -p "$local/go-cache"
  mapfile -t folders < <(
    realpath /usr/lib /usr/include /usr/share "$(go env GOROOT)" "$(rustc --print sysroot)" "$local/host" \
      "$local/tools" "$local/go-cache" "$root/.local/tools" "$(dirname "$(cc -print-prog-name=collect2)")"
    [ "$(python base_prefix)" = /usr ] || python base_prefix
  )
  printf '%s\n' "${folders[@]}" "/bin/sh=$(realpath /bin/sh)"
  for folder in /lib /lib64; do
    [ ! -e "$folder" ] || echo "$folder=$(realpath "$folder")"
  done
  folders+=(/lib /lib64)
  {
    find "$local"/host/{stdenv,compiler} -type l -printf '%l\n'
    sed -nE 's/^    [a-z-]+ = "(.*)";$/\1/p' "$local/host/host.nix"
    sed -nE 's/^  (bash|certificates) = "(.*)";$/\2/p' "$local/host/host.nix"
    echo /usr/sbin/nginx
  } | sort -u | while read -r program; do
    [ -f "$program" ] || continue
    for folder in "${folders[@]}"; do
      [[ $program != "$folder"/* ]] || continue 2
    done
    echo "$program=$(realpath "$program")"
  done
}

# The stand-ins, each with the description of this machine.
prepare_inputs() {
  local input
  rm -rf "$local/inputs"
  cp -r "$here/inputs" "$local/inputs"
  for input in nixpkgs crane nix2container; do
    cp "$local/host/host.nix" "$local/inputs/$input/host.nix"
  done
}

# The flake's options that name the stand-ins.
inputs=(--no-write-lock-file)
for input in nixpkgs crane nix2container stock-publisher-original stock-liveview-original; do
  inputs+=(--override-input "$input" "path:$local/inputs/$input")
done
unset input

# flake VERB ATTRIBUTE OPTION…: runs nix VERB on an output of our flake, with the stand-ins.
flake() {
  local verb=$1 attribute=$2
  shift 2
  nix "$verb" "$flake#$attribute" "${inputs[@]}" "$@"
}

# copy_project FOLDER: copies the files that git tracks, for a test that changes them.
copy_project() {
  mkdir "$1"
  (cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$1")
}

# prepare: fetches and builds what the tests need, and describes this machine to the stand-ins.
prepare() {
  "$root/scripts/install" nginx lint
  install_packages
  install_tools
  describe_host
  prepare_inputs
  use_own_nix
}
