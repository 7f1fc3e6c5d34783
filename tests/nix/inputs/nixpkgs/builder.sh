# Runs the phases of one derivation in the order of nixpkgs' stdenv.
# shellcheck shell=bash disable=SC2154 # the variables are the derivation's attributes
set -eu -o pipefail

PATH=$hostTools
for package in $tools; do
  PATH=$package/bin:$PATH
done
NIX_LDFLAGS=
for package in $libraries; do
  if compgen -G "$package/lib/lib*" > /dev/null; then
    NIX_LDFLAGS+=" -L$package/lib"
  fi
done
export PATH NIX_LDFLAGS HOME=$NIX_BUILD_TOP/no-home TMPDIR=$NIX_BUILD_TOP
umask 0022

runHook() {
  local hook=$1
  if declare -F "$hook" > /dev/null; then
    "$hook"
  elif [ -n "${!hook:-}" ]; then
    eval "${!hook}"
  fi
}

phase() {
  local name=$1 otherwise=${2:-:}
  eval "${!name:-$otherwise}"
}

unpack() {
  if [ -n "${src:-}" ]; then
    cp -r "$src" source
    chmod -R u+w source
    cd source
  fi
}

if [ -n "${buildCommand:-}" ]; then
  eval "$buildCommand"
else
  unpack
  phase configurePhase
  phase buildPhase
  if [ -n "${doCheck:-}" ]; then
    phase checkPhase
  fi
  phase installPhase
  runHook postInstallHook
  if [ -z "${dontFixup:-}" ]; then
    runHook postFixup
  fi
fi
