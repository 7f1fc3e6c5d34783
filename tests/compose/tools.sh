# shellcheck shell=bash disable=SC2154 # the variables are lib.sh's
# The programs that the tests need, unpacked below .local/compose/tools: nothing is installed on the
# machine, so no package can start an engine there.
#
# compose.yml needs Docker Engine 25 or later. Debian 13 has it, and the Compose plugin; both run on
# Debian 12 too. What runs containers and sets up networks comes from the machine's own Debian, because
# it is linked against the machine's C library.

# From Debian 13.
readonly engine_packages=(docker.io docker-cli docker-compose containerd)

# debian_mirror: prints the address from which this machine gets Debian's packages.
debian_mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # shellcheck disable=SC2016 # apt expands it
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$codename" '$2 == release { sub("/$", "", $1); print $1; exit }'
}

# apt_of RELEASE COMMAND…: apt for another release than the machine's, with separate lists.
apt_of() {
  local release=$1 command=$2
  shift 2
  local folder=$cache/apt/$release
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $release main" > "$folder/sources.list"
  "$command" -qq -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=- \
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" \
    -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
}

# unpack ARCHIVE-FOLDER
unpack() {
  local archive
  for archive in "$1"/*.deb; do
    dpkg --extract "$archive" "$cache/tools.new"
  done
}

# From the machine's own release: missing packages, with their dependencies.
unpack_companions() {
  local wanted=() packages
  command -v runc > /dev/null || wanted+=(runc)
  command -v docker-init > /dev/null || wanted+=(tini)
  command -v iptables > /dev/null || wanted+=(iptables)
  command -v ip > /dev/null || wanted+=(iproute2)
  command -v debootstrap > /dev/null || wanted+=(debootstrap)
  command -v slirp4netns > /dev/null || wanted+=(slirp4netns)
  [ "${#wanted[@]}" -gt 0 ] || return 0
  apt-get update -qq
  packages=$(apt-get --simulate --no-install-recommends install "${wanted[@]}" | awk '$1 == "Inst" { print $2 }')
  packages=${packages:-${wanted[*]}} # installed, but not in PATH
  mkdir "$1/companions"
  # shellcheck disable=SC2086 # one word per package
  (cd "$1/companions" && apt-get download -qq -o APT::Sandbox::User= $packages)
  unpack "$1/companions"
  # Links that the packages' install scripts would make.
  local folder=$cache/tools.new/usr
  mkdir -p "$folder/bin" "$folder/sbin"
  [ ! -e "$folder/bin/tini" ] || ln -sf tini "$folder/bin/docker-init"
  if [ -e "$folder/sbin/xtables-nft-multi" ]; then
    ln -sf xtables-nft-multi "$folder/sbin/iptables"
    ln -sf xtables-nft-multi "$folder/sbin/ip6tables"
  fi
}

install_tools() {
  [ "$(id -u)" = 0 ] || fail "a container engine and network namespaces need root: run this as root"
  command -v apt-get > /dev/null ||
    fail "the tests take their container engine from Debian's packages, and this machine has no apt-get"
  one_at_a_time "$cache"
  local stamp
  stamp=$(sha256sum < "$here/tools.sh")
  if [ "$(cat "$cache/tools/stamp" 2> /dev/null)" != "$stamp" ]; then
    say "Fetching Docker and Compose from Debian"
    local archives
    archives=$(mktemp -d)
    rm -rf "$cache/tools.new"
    mkdir -p "$cache/tools.new"
    apt_of trixie apt-get update
    (cd "$archives" && apt_of trixie apt-get download "${engine_packages[@]}")
    unpack "$archives"
    unpack_companions "$archives"
    echo "$stamp" > "$cache/tools.new/stamp"
    rm -rf "$cache/tools" "$archives"
    mv "$cache/tools.new" "$cache/tools"
    find_libraries
  fi
  mkdir -p "$DOCKER_CONFIG/cli-plugins"
  ln -sf "$cache/tools/usr/libexec/docker/cli-plugins/docker-compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"
  exec {lock}>&-
}
