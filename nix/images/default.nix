# The images of the programs, and what loads and publishes them.
{
  pkgs,
  nix2container,
  programs,
}:
rec {
  images = import ./images.nix {
    inherit pkgs nix2container;
    inherit (programs)
      about
      consumer
      publisher
      liveview
      originals
      ;
    nodeRuntime = import ./node-runtime.nix pkgs;
  };
  load = import ./load.nix { inherit pkgs images; };
  publish = import ./publish.nix {
    inherit pkgs images;
    sboms = import ./sbom.nix {
      inherit pkgs;
      inherit (programs) about;
      publisher = programs.publisher.package;
    };
  };
}
