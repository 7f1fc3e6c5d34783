# shellcheck shell=bash disable=SC2153 # publish.nix sets the variables in capitals
# Publishes the images. publish.nix wraps this script and sets
#   ARCHITECTURE  of the images that this machine built: amd64 or arm64
#   IMAGES        their names
#   COPY          a folder with a program for each image that copies it
#   SBOMS         a folder with a bill of materials for each image

usage() {
  cat <<'USAGE'
usage: publish image REPOSITORY VERSION
         Push this machine's images as REPOSITORY/NAME:VERSION-ARCHITECTURE.
       publish index REPOSITORY VERSION COMMIT
         Join both architectures' images under VERSION, COMMIT and latest, with a bill of materials.

REPOSITORY is a registry's address and a namespace, such as docker.io/NAMESPACE.
Log in first (docker login). REGISTRY_PLAIN_HTTP=1 uses HTTP, for a test on this machine.
USAGE
  exit 64
}

architectures=(amd64 arm64)
bill_type=application/vnd.cyclonedx+json

registry() {
  local options=()
  if [ -n "${REGISTRY_PLAIN_HTTP:-}" ]; then
    options=(--host "reg=${repository%%/*},tls=disabled")
  fi
  regctl "${options[@]}" "$@"
}

push_image() {
  local name=$1 options=()
  if [ -n "${REGISTRY_PLAIN_HTTP:-}" ]; then
    options=(--dest-tls-verify=false)
  fi
  "$COPY/$name/bin/copy-to" "${options[@]}" "docker://$repository/$name:$version-$ARCHITECTURE"
}

push_index() {
  local name=$1 architecture tag images=()
  for architecture in "${architectures[@]}"; do
    images+=(--ref "$repository/$name:$version-$architecture")
  done
  registry index create "$repository/$name:$version" "${images[@]}"
  for tag in "$commit" latest; do
    registry image copy "$repository/$name:$version" "$repository/$name:$tag"
  done
  registry artifact put \
    --subject "$repository/$name:$version" \
    --artifact-type "$bill_type" \
    --file "$SBOMS/$name" --file-media-type "$bill_type" --file-title=false
}

case "${1:-}:$#" in
  image:3)
    repository=$2 version=$3
    for name in $IMAGES; do
      push_image "$name"
    done
    ;;
  index:4)
    repository=$2 version=$3 commit=$4
    for name in $IMAGES; do
      push_index "$name"
    done
    ;;
  *) usage ;;
esac
