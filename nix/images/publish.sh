# shellcheck shell=bash disable=SC2153 # publish.nix sets the variables in capitals
# Pushes the images of this machine. publish.nix wraps this script and sets
#   ARCHITECTURE  of the images that this machine built: amd64 or arm64
#   IMAGES        their names
#   COPY          a folder with a program for each image that copies it
#   SBOMS         a folder with a bill of materials for each image

if [ "$#" -ne 3 ]; then
  cat >&2 <<'USAGE'
usage: publish REPOSITORY COMMIT FOLDER
         Push this machine's images as REPOSITORY/NAME:COMMIT-ARCHITECTURE. Write what `release join` needs
         to FOLDER: each image's digest and its bill of materials.

REPOSITORY is a registry's address and a namespace, such as docker.io/NAMESPACE.
Log in first (docker login). REGISTRY_PLAIN_HTTP=1 uses HTTP, for a test on this machine.
USAGE
  exit 64
fi
repository=$1 commit=$2 folder=$3

options=()
if [ -n "${REGISTRY_PLAIN_HTTP:-}" ]; then
  options=(--dest-tls-verify=false)
fi

mkdir -p "$folder"
for name in $IMAGES; do
  "$COPY/$name/bin/copy-to" "${options[@]}" --digestfile "$folder/$name.$ARCHITECTURE.digest" \
    "docker://$repository/$name:$commit-$ARCHITECTURE"
  cp --no-preserve=mode "$SBOMS/$name" "$folder/$name.$ARCHITECTURE.cdx.json"
done
