# The rendered files as a package, for who wants them without a clone.
pkgs:
let
  rendered = import ./rendered.nix;
in
pkgs.linkFarm "stockmarket-generated" (
  pkgs.lib.mapAttrsToList (path: text: {
    name = path;
    path = pkgs.writeText (baseNameOf path) text;
  }) rendered
)
