{
  description = "Stockmarket: a flood of stock trades turned into live average prices";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

    # Builds the Rust consumer, its dependencies apart from it.
    crane.url = "github:ipetkov/crane";

    # Builds the images. It patches the skopeo of its own nixpkgs, and `follows` could break that
    # patch: so it keeps its own. Only tools come from there, nothing of an image.
    nix2container.url = "github:nlewo/nix2container";

    # The two applications that the assignment hands out.
    stock-publisher-original = {
      url = "github:SwitzerChees/stock-publisher";
      flake = false;
    };
    stock-liveview-original = {
      url = "github:SwitzerChees/stock-liveview";
      flake = false;
    };
  };

  outputs =
    { nixpkgs, ... }@inputs:
    let
      linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      darwin = [
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forEach = systems: give: nixpkgs.lib.genAttrs systems (system: give (import ./nix inputs system));
    in
    {
      packages = forEach linux (project: project.packages);
      apps = forEach linux (project: project.apps);
      checks = forEach linux (project: project.checks);

      devShells = forEach (linux ++ darwin) (project: {
        default = project.devShell;
      });
      formatter = forEach (linux ++ darwin) (project: project.formatter);
    };
}
