# `nix run .#load`: copies all images to the local Docker, or to the one that DOCKER_HOST names.
{ pkgs, images }:
let
  copy = name: ''
    ${images.${name}.copyToDockerDaemon}/bin/copy-to-docker-daemon "''${host[@]}"
  '';
in
pkgs.writeShellApplication {
  name = "load";
  text = ''
    host=()
    if [ -n "''${DOCKER_HOST:-}" ]; then
      host=(--dest-daemon-host "$DOCKER_HOST")
    fi
  ''
  + pkgs.lib.concatMapStrings copy (builtins.attrNames images);
  meta.description = "Load all images into the local Docker";
}
