# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stage images: the images contain what they should, run, and are the same when built again.

digest() { jq -r '.manifests[0].digest' "$1/index.json"; }
manifest() { jq . "$1/blobs/sha256/$(digest "$1" | cut -d: -f2)"; }
configuration() { jq . "$1/blobs/sha256/$(manifest "$1" | jq -r .config.digest | cut -d: -f2)"; }

# compile_images: all side by side, because a compiler's last step uses only one core.
compile_images() {
  local name
  local -a all=()
  for name in "${ours[@]}" "${originals[@]}"; do
    all+=("$flake#packages.$system.$name-image")
  done
  nix build "${all[@]}" "${inputs[@]}" --no-link --print-build-logs 2> "$scratch/log" ||
    { tail -n 40 "$scratch/log" >&2; fail "the images do not build"; }
}

build_images() {
  local into=$1 name
  compile_images
  mkdir -p "$into"
  for name in "${ours[@]}" "${originals[@]}"; do
    flake build "packages.$system.$name-image" --out-link "$into/$name" 2> /dev/null
  done
}

# The same inputs give the same bytes: an image says no time.
check_time() {
  configuration "$2" | jq -e '.created == "1970-01-01T00:00:00Z"' > /dev/null ||
    fail "$1-image was created at $(configuration "$2" | jq .created)"
}

# report NAME IMAGE AIM: prints the size of each layer, and the sum. The aim is in MB (1,000,000 bytes).
report() {
  local name=$1 image=$2 aim=$3 sizes total
  mapfile -t sizes < <(manifest "$image" | jq '.layers[].size')
  total=$(manifest "$image" | jq '[.layers[].size] | add')
  printf '    %-26s %6.1f MB in layers of %s bytes\n' "$name" "$(jq -n "$total / 1e6")" "${sizes[*]}"
  [ "$total" -le $((aim * 1000000)) ] || fail "$name-image is larger than $aim MB"
}

test_images() {
  say "Images"
  build_images "$scratch/first"
  local name
  for name in "${ours[@]}" "${originals[@]}"; do
    check_time "$name" "$scratch/first/$name"
  done
  ok "no image says when it was made"
  report stock-publisher "$scratch/first/stock-publisher" 12
  report stock-consumer "$scratch/first/stock-consumer" 16
  report stock-liveview "$scratch/first/stock-liveview" 130
  report stock-publisher-original "$scratch/first/stock-publisher-original" 12
  report stock-liveview-original "$scratch/first/stock-liveview-original" 130
  ok "sizes are within the aims"

  start_docker
  load_images
  run_images
  stop_docker
  [ -z "${FULL:-}" ] || build_again
}

load_images() {
  flake build "packages.$system.stock-publisher-image" --no-link 2> /dev/null
  nix run "$flake#load" "${inputs[@]}" > "$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "nix run .#load"; }
  local name
  for name in "${ours[@]}" "${originals[@]}"; do
    docker image inspect "stockmarket/$name:latest" > /dev/null || fail "$name is not in Docker after load"
  done
  ok "nix run .#load puts all images into Docker"
  "$root/tests/images/contents" "${ours[@]/#/stockmarket/}" "${originals[@]/#/stockmarket/}" ||
    fail "the images do not hold what they should"
}

# Runs the images of the three programs as one system, beside a real broker and replica set.
run_images() {
  "$root/tests/with-servers" "$root/tests/images/running" || fail "the images do not run as they should"

  # The stand-in for the original live view serves its page.
  docker run --detach --name original --network host --read-only --cap-drop ALL \
    --env PORT=25003 stockmarket/stock-liveview-original > /dev/null
  curl --silent --fail --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 20 \
    http://127.0.0.1:25003/ > /dev/null || fail "the original live view's image serves nothing: $(docker logs original 2>&1)"
  docker rm --force original > /dev/null
  ok "the original live view's image serves its page"
}

# The same inputs give the same bytes: builds all images once more, into an empty store.
build_again() {
  local name
  cp -rL "$scratch/first" "$scratch/kept"
  mv "$local/store" "$scratch/store"
  mv "$local/var" "$scratch/var"
  rm -rf "$local/go-cache" "$local/cache"
  use_own_nix
  build_images "$scratch/second"
  for name in "${ours[@]}" "${originals[@]}"; do
    [ "$(digest "$scratch/kept/$name")" = "$(digest "$scratch/second/$name")" ] ||
      fail "$name-image: built again from nothing, it is another one"
    printf '    %-26s %s\n' "$name" "$(digest "$scratch/second/$name")"
  done
  rm -rf "${scratch:?}/store" "${scratch:?}/var"
  ok "built again in an empty store, every image has the same digest"
}
