# shellcheck shell=bash disable=SC2154 # the variables are lib.sh's
# Loads the images that compose.yml and the Dockerfiles name: the official ones where a registry can be
# reached (with OFFICIAL=1 no others), else stand-ins under the same names, made from the real servers and compilers. Grafana has no
# stand-in: Debian does not package it.
#
# A server's stand-in has what compose.yml relies on: paths, numeric users, volumes, bash and coreutils.
# It has no entrypoint script, because compose.yml calls the servers directly.
#
# A compiler's stand-in has this machine's compiler, and trusts the authorities that this machine trusts.

readonly servers=(rabbitmq:4.3-management mongo:8.0 nginx:1.30 prom/prometheus:v3.13.2)
readonly images=$cache/images

# The images with which the Dockerfiles begin.
compilers() { sed -n 's/^FROM \(.*\) AS build$/\1/p' "$root"/Dockerfile "$root"/vendor-apps/*/Dockerfile; }

load_official() {
  local image
  for image in "${servers[@]}" $(compilers); do
    ! is_loaded "$image" || continue
    ! copy_official "$image" || continue
    [ -z "${OFFICIAL:-}" ] || fail "$image is not to be had from its registry"
    stand_in "$image"
  done
}

# is_loaded IMAGE: whether the engine has the official image, or a stand-in made by this version of this file.
is_loaded() {
  local key
  key=$(docker image inspect --format '{{ index .Config.Labels "stockmarket.stand-in" }}' "$1" 2> /dev/null) &&
    [[ -z $key || $key == "$(stand_in_key "$(name_of "$1")")" ]]
}

# Through the machine's network: the engine's has no route to a registry.
copy_official() {
  command -v skopeo > /dev/null || return 1
  local source=docker://docker.io/$1 archive=$home/archive.tar
  [[ $1 == */* ]] || source=docker://docker.io/library/$1
  timeout 15 skopeo inspect --raw "$source" > /dev/null 2>&1 || return 1
  say "Fetching $1"
  rm -f "$archive"
  skopeo copy --quiet "$source" "docker-archive:$archive:$1" && docker load --quiet --input "$archive" > /dev/null
  rm "$archive"
}

# --- stand-ins ------------------------------------------------------------------------------------

# A hash of how a stand-in is made. It is its label, which official images do not have.
base_key() { declare -f build_base | sha256sum | cut -c 1-16; }
stand_in_key() {
  {
    base_key
    declare -f build_root install_packages add_user trust "install_$1"
    cat "$here/images/$1.Dockerfile"
    made_from "$1"
  } | sha256sum | cut -c 1-16
}

# made_from NAME: prints what else a compiler's stand-in depends on.
made_from() {
  case $1 in
    rust) rustc --version; echo "${FULL:-}" ;;
    golang) go version ;;
    node) compilers | grep ^node: ;;
  esac
}

# name_of IMAGE: prom/prometheus:v3.13.2 is prometheus.
name_of() { sed 's|.*/||; s|:.*||' <<< "$1"; }

stand_in() {
  local name
  name=$(name_of "$1")
  build_root "$name"
  say "Loading a stand-in for $1"
  DOCKER_BUILDKIT=0 docker build --quiet --tag "$1" --label stockmarket.stand-in="$(stand_in_key "$name")" \
    --file "$here/images/$name.Dockerfile" "$images/$name" > "$home/build.log" 2>&1 ||
    { tail -n 20 "$home/build.log" >&2; fail "the stand-in for $1 does not build"; }
}

# build_root NAME: the server's root file system, as an archive.
build_root() {
  one_at_a_time "$images"
  local folder=$images/$1
  if [ "$(cat "$folder/key" 2> /dev/null)" != "$(stand_in_key "$1")" ]; then
    build_base
    say "Building a stand-in for $1 from Debian's packages"
    local tree=$images/tree
    rm -rf "$tree" "$folder"
    mkdir -p "$folder"
    cp -a "$images/base" "$tree"
    "install_$1" "$tree" > "$images/log" 2>&1 || { tail -n 20 "$images/log" >&2; fail "the stand-in for $1 does not build"; }
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree/etc/resolv.conf"
    tar -C "$tree" --create --file "$folder/root.tar" .
    rm -rf "$tree"
    stand_in_key "$1" > "$folder/key"
  fi
  exec {lock}>&-
}

# Debian testing has the servers in the versions that compose.yml names.
build_base() {
  [ "$(cat "$images/base.key" 2> /dev/null)" != "$(base_key)" ] || return 0
  say "Building Debian's base system (a minute or two, once)"
  rm -rf "$images/base"
  DEBOOTSTRAP_DIR=$(debootstrap_folder) debootstrap --variant=minbase testing "$images/base" "$(debian_mirror)" \
    > "$images/log" 2>&1 || { tail -n 20 "$images/log" >&2; fail "Debian testing cannot be unpacked"; }
  # Packages start no server and unpack no documentation.
  printf '#!/bin/sh\nexit 101\n' > "$images/base/usr/sbin/policy-rc.d"
  chmod +x "$images/base/usr/sbin/policy-rc.d"
  printf 'path-exclude=/usr/share/%s/*\n' doc man locale > "$images/base/etc/dpkg/dpkg.cfg.d/small"
  base_key > "$images/base.key"
}

debootstrap_folder() {
  if [ -d "$cache/tools/usr/share/debootstrap" ]; then
    echo "$cache/tools/usr/share/debootstrap"
  else
    echo /usr/share/debootstrap
  fi
}

# install_packages TREE PACKAGE…: with the lists that debootstrap has fetched and checked.
install_packages() {
  local tree=$1
  shift
  cp /etc/resolv.conf "$tree/etc/resolv.conf"
  DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get install --yes --quiet --no-install-recommends "$@"
}

# add_user TREE NAME NUMBER HOME
add_user() {
  chroot "$1" groupadd --system --gid "$3" "$2"
  chroot "$1" useradd --system --uid "$3" --gid "$3" --home-dir "$4" "$2"
}

install_rabbitmq() {
  local tree=$1
  add_user "$tree" rabbitmq 999 /var/lib/rabbitmq
  install_packages "$tree" rabbitmq-server
  ln -s "$(basename "$tree"/usr/lib/rabbitmq/lib/rabbitmq_server-*)" "$tree/usr/lib/rabbitmq/lib/current"
  ln -s /usr/lib/rabbitmq/lib/current "$tree/opt/rabbitmq"
  mkdir -p "$tree/etc/rabbitmq/conf.d"
  # As in the official image: these plugins, a guest from any address, logs on the console, and
  # folders that the user may write to.
  echo '[rabbitmq_management,rabbitmq_prometheus].' > "$tree/etc/rabbitmq/enabled_plugins"
  printf '%s\n' 'loopback_users.guest = false' 'log.console = true' > "$tree/etc/rabbitmq/conf.d/10-defaults.conf"
  chown -R 999:999 "$tree/etc/rabbitmq" "$tree/var/lib/rabbitmq" "$tree/var/log/rabbitmq"
}

install_mongo() {
  local tree=$1 mongod
  add_user "$tree" mongodb 999 /data/db
  install_packages "$tree" libcurl4t64 libssl3t64 liblzma5
  "$root/scripts/install" servers
  mongod=$(sed -n "s/^exec '\(.*\)' \"\$@\"$/\1/p" "$root/.local/tools/bin/mongod")
  install -m 0755 "$mongod" "$tree/usr/bin/mongod"
  mkdir -p "$tree/data/db" "$tree/data/configdb"
  chown -R 999:999 "$tree/data"
  chroot "$tree" mongod --version
}

install_nginx() {
  local tree=$1
  add_user "$tree" nginx 101 /nonexistent
  install_packages "$tree" nginx
  mkdir -p "$tree/var/cache/nginx"
  ln -sf /dev/stdout "$tree/var/log/nginx/access.log"
  ln -sf /dev/stderr "$tree/var/log/nginx/error.log"
}

install_prometheus() {
  local tree=$1
  install_packages "$tree" prometheus
  install -d -o 65534 -g 65534 "$tree/prometheus"
}

# --- compilers --------------------------------------------------------------------------------------

# trust TREE: a proxy of this machine's network may sign for the package registries.
trust() { cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"; }

# Like rustup's, without rustup. Unless FULL is set, the optimizer does less, as in tests/nix.
install_rust() {
  local tree=$1 home=$1/usr/local/cargo toolchain
  install_packages "$tree" ca-certificates gcc libc6-dev
  trust "$tree"
  toolchain=$(rustc --print sysroot)
  mkdir -p "$home/bin" "$tree/usr/local/rust"
  cp -a "$toolchain/bin" "$toolchain/lib" "$tree/usr/local/rust/"
  ln -s /usr/local/rust/bin/{cargo,rustc} "$home/bin/"
  if [ -z "${FULL:-}" ]; then
    printf '[profile.release]\nlto = "off"\ncodegen-units = 16\nopt-level = 1\n' > "$home/config.toml"
  fi
}

install_golang() {
  local tree=$1
  install_packages "$tree" ca-certificates
  trust "$tree"
  cp -a "$(go env GOROOT)" "$tree/usr/local/go"
}

# The very program of the official image, which is also an npm package; and this machine's npm.
install_node() {
  local tree=$1 version architecture=x64 modules
  version=$(compilers | sed -n 's/^node:\([0-9.]*\).*/\1/p')
  [ "$(uname -m)" != aarch64 ] || architecture=arm64
  install_packages "$tree" libatomic1 libstdc++6
  modules=$(npm root --global)
  mkdir -p "$tree/usr/local/lib/node_modules" "$tree/usr/local/etc"
  npm pack --silent --pack-destination "$tree/tmp" "node-linux-$architecture@$version"
  tar -C "$tree/usr/local" --strip-components 1 -xf "$tree"/tmp/*.tgz package/bin/node
  cp -r "$modules/npm" "$tree/usr/local/lib/node_modules/"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tree/usr/local/bin/npm"
  rm "$tree"/tmp/*.tgz
  cp /etc/ssl/certs/ca-certificates.crt "$tree/usr/local/etc/"
  echo 'cafile=/usr/local/etc/ca-certificates.crt' > "$tree/usr/local/etc/npmrc"
}
