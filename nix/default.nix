# Everything that the flake gives for one system: each thing from the file of its name.
inputs: system:
let
  inherit (inputs) self nixpkgs;
  inherit (nixpkgs) lib;

  pkgs = import nixpkgs {
    inherit system;
    # The only thing here that is not free: the database's server, in the development shell.
    config.allowUnfreePredicate = package: builtins.elem (lib.getName package) [ "mongodb-ce" ];
  };
  craneLib = inputs.crane.mkLib pkgs;
  inherit (inputs.nix2container.packages.${system}) nix2container;

  about = import ./about.nix self;
  sources = import ./sources.nix lib;

  consumer = import ./consumer.nix { inherit pkgs craneLib sources; };
  publisher = import ./publisher.nix { inherit pkgs about sources; };
  liveview = import ./liveview.nix { inherit pkgs about sources; };
  originals = import ./originals.nix { inherit pkgs inputs; };

  images = import ./images.nix {
    inherit
      pkgs
      nix2container
      about
      consumer
      publisher
      liveview
      originals
      ;
    nodeRuntime = import ./node-runtime.nix pkgs;
  };
  generated = import ./generated.nix pkgs;
  sboms = import ./sbom.nix { inherit pkgs about; };

  load = import ./load.nix { inherit pkgs images; };
  publish = import ./publish.nix { inherit pkgs images sboms; };
  program = package: {
    type = "app";
    program = lib.getExe package;
    meta = { inherit (package.meta) description; };
  };
in
{
  packages = {
    default = consumer.package;
    stock-consumer = consumer.package;
    stock-publisher = publisher.package;
    stock-liveview = liveview.package;
    inherit generated;
  }
  // lib.mapAttrs' (name: lib.nameValuePair "${name}-image") images;

  apps = {
    load = program load;
    publish = program publish;
  };

  checks = import ./checks.nix {
    inherit
      pkgs
      sources
      consumer
      publisher
      liveview
      generated
      ;
  };

  devShell = import ./dev-shell.nix pkgs;
  formatter = pkgs.nixfmt-tree;
}
