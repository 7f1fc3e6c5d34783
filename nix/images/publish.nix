# `nix run .#publish`: pushes our images to a registry, by publish.sh. `release` makes versions of them.
{
  pkgs,
  images,
  sboms,
}:
let
  ours = builtins.attrNames sboms;
in
pkgs.writeShellApplication {
  name = "publish";
  runtimeEnv = {
    ARCHITECTURE = pkgs.go.GOARCH;
    IMAGES = toString ours;
    COPY = pkgs.linkFarm "copy-images" (
      map (name: {
        inherit name;
        path = images.${name}.copyTo;
      }) ours
    );
    SBOMS = pkgs.linkFarm "bills-of-materials" (
      map (name: {
        inherit name;
        path = sboms.${name};
      }) ours
    );
  };
  text = builtins.readFile ./publish.sh;
  meta.description = "Push this machine's images to a registry";
}
