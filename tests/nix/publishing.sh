# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stage publishing: pushes and releases our images in a real registry on this machine.

registry_pid=
start_registry() {
  registry=127.0.0.1:25050
  cat > "$scratch/registry.yml" <<CONFIGURATION
version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: $scratch/registry } }
http: { addr: "$registry" }
CONFIGURATION
  docker-registry serve "$scratch/registry.yml" > "$scratch/registry.log" 2>&1 &
  registry_pid=$!
  curl --silent --fail --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 20 \
    "http://$registry/v2/" > /dev/null || fail "the registry did not start: $(cat "$scratch/registry.log")"
}

stop_registry() {
  if [ -n "$registry_pid" ]; then
    kill "$registry_pid" 2> /dev/null || true
    wait "$registry_pid" 2> /dev/null || true
    registry_pid=
  fi
}

# push_images: pushes the images of both architectures, as the workflow's machines do. Those of the other one
# contain programs of this machine, except for Go's, which are cross-compiled.
push_images() {
  local architecture
  for architecture in x86_64 aarch64; do
    env REGISTRY_PLAIN_HTTP=1 HOME="$scratch" nix run "$flake#apps.$architecture-linux.publish" "${inputs[@]}" -- \
      "$registry/trial" abc1234 "$scratch/pushed" > "$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "publish"; }
  done
}

# release ARGUMENT…: runs `release` with only the programs that it may use: it builds nothing.
release() {
  env --ignore-environment PATH="$scratch/bin" HOME="$scratch" REGISTRY_PLAIN_HTTP=1 \
    "$root/nix/images/release" "$@" 2> "$scratch/log"
}

# refused MESSAGE ARGUMENT…: `release` fails, and says why.
refused() {
  local message=$1
  shift
  ! release "$@" > /dev/null || fail "release takes $*"
  grep --quiet --fixed-strings -- "$message" "$scratch/log" ||
    fail "release $*: does not say \"$message\", but: $(cat "$scratch/log")"
}

# join VERSION COMMIT IMAGE…
join() {
  local version=$1 commit=$2 name digest
  shift 2
  for name; do
    digest=$(release join "$registry/trial" "$name" "$version" "$commit" "$scratch/pushed") ||
      fail "release join: $(cat "$scratch/log")"
    [ "$digest" = "$(digest_of "$name:$commit")" ] || fail "release join prints $digest"
  done
}

# publish_version VERSION COMMIT [IMAGE…]: what the workflow does after the images are pushed.
publish_version() {
  local version=$1 commit=$2
  shift 2
  [ "$#" -gt 0 ] || set -- "${ours[@]}"
  join "$version" "$commit" "$@"
  release tag "$registry/trial" "$version" "$commit" "$@" > /dev/null || fail "release tag: $(cat "$scratch/log")"
}

ask() { regctl --host "reg=$registry,tls=disabled" "$@"; }
digest_of() { ask manifest head "$registry/trial/$1"; }

# names TAG VERSION: TAG is the same as VERSION, for every image.
names() {
  local name
  for name in "${ours[@]}"; do
    [ "$(digest_of "$name:$1")" = "$(digest_of "$name:$2")" ] || fail "$name:$1 is not $name:$2"
  done
}

# published: prints each tag in the registry with its digest.
published() {
  local name tag
  for name in "${ours[@]}"; do
    for tag in $(ask tag ls "$registry/trial/$name"); do
      printf '%s:%s %s\n' "$name" "$tag" "$(digest_of "$name:$tag")"
    done
  done
}

# unchanged BEFORE WHAT
unchanged() {
  local after
  after=$(published)
  [ "$1" = "$after" ] || { diff <(echo "$1") <(echo "$after") >&2; fail "$2 changed something"; }
}

test_publishing() {
  say "Publishing to a real registry"
  export PATH=$local/tools/bin:$PATH
  link_programs "$scratch/bin" bash cat dirname grep jq regctl sed sort tail
  check_the_tag
  check_the_workflow

  start_registry
  push_images
  check_moving_tags
  check_versions_stay
  check_releases_at_once
  check_published 2.0.0
  stop_registry
}

# A tag releases the version that the programs name. Without secrets nothing is released.
check_the_tag() {
  local version malformed
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
  [ "$(release version "v$version")" = "$version" ] || fail "release version v$version: $(cat "$scratch/log")"
  refused "the tag is v99.0.0, but Cargo.toml names the version \"$version\"" version v99.0.0
  refused "does not begin with v" version "$version"
  for malformed in 1.2 1.2.3.4 01.2.3 1.2.3- 1.2.3-rc..1 1.2.3-01 1.2.3+4 latest ''; do
    refused "\"$malformed\" is not a version" version "v$malformed"
    refused "\"$malformed\" is not a version" tag 127.0.0.1:1/none "$malformed" abc1234 stock-consumer
  done

  # The other programs name the same version.
  local file
  copy_project "$scratch/edited"
  for file in package.json package-lock.json; do
    file=vendor-apps/stock-liveview/$file
    sed -i '0,/"version": ".*"/ s//"version": "99.0.0"/' "$scratch/edited/$file"
    ! "$scratch/edited/nix/images/release" version "v$version" 2> "$scratch/log" > /dev/null ||
      fail "release takes a tag that is not the version of $file"
    grep --quiet "$file names the version \"99.0.0\"" "$scratch/log" || fail "release version: $(cat "$scratch/log")"
    cp "$root/$file" "$scratch/edited/$file"
  done
  ok "a tag that is no version, or not the version of every program, is refused by name"

  [ "$(release ready)" = false ] || fail "without secrets a release is ready"
  [ "$(DOCKERHUB_NAMESPACE=n DOCKERHUB_USERNAME=u DOCKERHUB_TOKEN=t "$root/nix/images/release" ready)" = true ] ||
    fail "with all settings a release is not ready"
  ! DOCKERHUB_USERNAME=u DOCKERHUB_TOKEN=t "$root/nix/images/release" ready > /dev/null 2> "$scratch/log" ||
    fail "without a namespace a release is ready"
  grep --quiet DOCKERHUB_NAMESPACE "$scratch/log" || fail "release ready: $(cat "$scratch/log")"
  ok "without secrets nothing is released, with half of the settings the missing one is named"
}

check_the_workflow() {
  local workflow=$root/.github/workflows/publish.yml images
  images=$(printf '%s\n' "${ours[@]}" | sort | paste --serial --delimiters ' ')
  grep --quiet "IMAGES: $images\$" "$workflow" || fail "publish.yml does not tag just $images"
  grep --quiet "image: \[${images// /, }\]" "$workflow" || fail "publish.yml does not join just $images"
  ok "the workflow releases each of our images"
}

check_moving_tags() {
  publish_version 2.0.0-rc.1 a1
  ! published | grep -E ':(latest|2|2\.0) ' || fail "a pre-release got a tag of stable versions"
  publish_version 2.0.0 a2
  publish_version 1.0.1 a3
  publish_version 2.1.0-rc.1 a4
  names latest 2.0.0
  names 1 1.0.1
  ok "2.0.0, 1.0.1 and 2.1.0-rc.1, published in this order, leave latest at 2.0.0"

  publish_version 2.1.0 a5
  names latest 2.1.0
  publish_version 2.10.0 a6
  publish_version 2.9.0 a7
  names latest 2.10.0
  names 2 2.10.0
  names 2.9 2.9.0
  names 2.0 2.0.0
  ok "latest is the newest stable version, MAJOR and MAJOR.MINOR the newest of their line; 2.10 is newer than 2.9"
}

check_versions_stay() {
  local before
  before=$(published)
  push_images
  publish_version 2.0.0 a2
  unchanged "$before" "publishing again"
  ok "publishing again changes nothing"

  # The last image has the version already, the others do not.
  publish_version 4.0.0-rc.1 b1 "${ours[-1]}"
  join 4.0.0-rc.1 b2 "${ours[@]}"
  before=$(published)
  refused "${ours[-1]}:4.0.0-rc.1 is published already, with other content" \
    tag "$registry/trial" 4.0.0-rc.1 b2 "${ours[@]}"
  unchanged "$before" "a refused release"
  ok "a version that is published with other content is refused, and nothing is changed"
}

# Two releases at the same time: just before 3.1.0 moves latest, 3.2.0 is released.
check_releases_at_once() {
  join 3.1.0 c1 "${ours[@]}"
  join 3.2.0 c2 "${ours[@]}"
  local regctl
  regctl=$(readlink "$scratch/bin/regctl")
  rm "$scratch/bin/regctl"
  cat > "$scratch/bin/regctl" << PROGRAM
#!$(command -v bash)
if [[ "\$*" == *:latest && ! -e "$scratch/between" ]]; then
  echo > "$scratch/between"
  "$root/nix/images/release" tag "$registry/trial" 3.2.0 c2 ${ours[*]}
fi
exec $regctl "\$@"
PROGRAM
  chmod +x "$scratch/bin/regctl"
  release tag "$registry/trial" 3.1.0 c1 "${ours[@]}" > /dev/null || fail "release tag: $(cat "$scratch/log")"
  [ -e "$scratch/between" ] || fail "3.2.0 was not released in between"
  names latest 3.2.0
  names 3 3.2.0
  ok "of two releases at the same time latest is the newer one"
}

# check_published VERSION: what a user finds under the version.
check_published() {
  local version=$1 name platforms
  for name in "${ours[@]}"; do
    platforms=$(ask manifest get --format raw-body "$registry/trial/$name:$version" |
      jq -r '[.manifests[].platform | "\(.os)/\(.architecture)"] | sort | join(" ")')
    [ "$platforms" = "linux/amd64 linux/arm64" ] || fail "$name's index is for: $platforms"
    ask manifest get --format raw-body "$registry/trial/$name:$version" |
      jq -e --arg version "$version" '.annotations["org.opencontainers.image.version"] == $version' > /dev/null ||
      fail "$name's index does not name its version"
    ask image config --platform linux/arm64 "$registry/trial/$name:$version" |
      jq -e --arg name "$name" '.config.Labels["org.opencontainers.image.title"] == $name' > /dev/null ||
      fail "$name's labels did not arrive"
    # Without a serial number GitHub does not attest it.
    ask artifact get --subject "$registry/trial/$name:$version" --filter-artifact-type application/vnd.cyclonedx+json |
      jq -e '.bomFormat == "CycloneDX" and (.components | length > 5) and (.serialNumber
        | test("^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$"))' > /dev/null ||
      fail "$name has no bill of materials, or one without components or serial number"
  done
  ok "a version is one index of both architectures, with labels and a bill of materials"

  # The registry's layers are compressed, so its manifest differs. The configuration, which lists the
  # digests of the layers' content, must be the same.
  local built pushed
  for name in "${ours[@]}"; do
    flake build "packages.$system.$name-image" --out-link "$scratch/built" 2> /dev/null
    built=$(manifest "$scratch/built" | jq -r .config.digest)
    pushed=$(ask manifest get --platform "linux/$(go env GOARCH)" --format raw-body "$registry/trial/$name:$version" |
      jq -r .config.digest)
    [ "$built" = "$pushed" ] || fail "$name: built $built, published $pushed"
  done
  ok "the images in the registry are those that were built"
}
