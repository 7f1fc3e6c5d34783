# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stage publishing: pushes our images to a real registry on this machine.

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

publish() { env REGISTRY_PLAIN_HTTP=1 HOME="$scratch" "$@" > "$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "publish"; }; }

ask() { regctl --host "reg=$registry,tls=disabled" "$@"; }

# published: prints each tag in the registry with its digest.
published() {
  local name tag
  for name in "${ours[@]}"; do
    for tag in $(ask tag ls "$registry/trial/$name"); do
      printf '%s:%s %s\n' "$name" "$tag" "$(ask manifest head "$registry/trial/$name:$tag")"
    done
  done
}

test_publishing() {
  say "Publishing to a real registry"
  export PATH=$local/tools/bin:$PATH
  # The images of the other architecture contain programs of this machine, except for Go's, which are
  # cross-compiled. This tests the publishing, not the programs.
  start_registry
  local first second
  publish_all
  first=$(published)
  publish_all
  second=$(published)
  [ "$first" = "$second" ] || { diff <(echo "$first") <(echo "$second") >&2; fail "pushing again changed something"; }
  ok "pushing again changes nothing"

  local name tag digest platforms
  for name in "${ours[@]}"; do
    digest=$(ask manifest head "$registry/trial/$name:1.2.3")
    for tag in abc1234 latest; do
      [ "$(ask manifest head "$registry/trial/$name:$tag")" = "$digest" ] || fail "$name:$tag is not $name:1.2.3"
    done
    platforms=$(ask manifest get --format raw-body "$registry/trial/$name:1.2.3" |
      jq -r '[.manifests[].platform | "\(.os)/\(.architecture)"] | sort | join(" ")')
    [ "$platforms" = "linux/amd64 linux/arm64" ] || fail "$name's index is for: $platforms"
    ask image config --platform linux/arm64 "$registry/trial/$name:latest" |
      jq -e --arg name "$name" '.config.Labels["org.opencontainers.image.title"] == $name' > /dev/null ||
      fail "$name's labels did not arrive"
    ask artifact get --subject "$registry/trial/$name:1.2.3" --filter-artifact-type application/vnd.cyclonedx+json |
      jq -e '.bomFormat == "CycloneDX" and (.components | length > 5)' > /dev/null ||
      fail "$name has no bill of materials"
  done
  ok "version, commit and latest are one index of both architectures, with labels and a bill of materials"

  # The registry's layers are compressed, so its manifest differs. The configuration, which lists the
  # digests of the layers' content, must be the same.
  local built pushed
  for name in "${ours[@]}"; do
    flake build "packages.$system.$name-image" --out-link "$scratch/built" 2> /dev/null
    built=$(manifest "$scratch/built" | jq -r .config.digest)
    pushed=$(ask manifest get --platform "linux/$(go env GOARCH)" --format raw-body "$registry/trial/$name:1.2.3" |
      jq -r .config.digest)
    [ "$built" = "$pushed" ] || fail "$name: built $built, published $pushed"
  done
  ok "the images in the registry are those that were built"
  stop_registry
}

publish_all() {
  local architecture
  for architecture in x86_64 aarch64; do
    publish nix run "$flake#apps.$architecture-linux.publish" "${inputs[@]}" -- image "$registry/trial" 1.2.3
  done
  publish nix run "$flake#publish" "${inputs[@]}" -- index "$registry/trial" 1.2.3 abc1234
}
