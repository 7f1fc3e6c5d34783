# `nix build .#generated`: the rendered files, without a clone.
pkgs:
let
  rendered = import ./.;
in
pkgs.linkFarm "stockmarket-generated" (
  pkgs.lib.mapAttrsToList (path: text: {
    name = path;
    path = pkgs.writeText (baseNameOf path) text;
  }) rendered
)
