# Everything that the flake gives for one system. README.md beside this file is the map.
inputs: system:
let
  inherit (inputs.nixpkgs) lib;

  pkgs = import inputs.nixpkgs {
    inherit system;
    # The only package here without a free licence: MongoDB's server, in the development shell.
    config.allowUnfreePredicate = package: builtins.elem (lib.getName package) [ "mongodb-ce" ];
  };

  programs = import ./programs {
    inherit pkgs inputs;
    craneLib = inputs.crane.mkLib pkgs;
  };
  publishing = import ./images {
    inherit pkgs programs;
    inherit (inputs.nix2container.packages.${system}) nix2container;
  };
  generated = import ./renderings/package.nix pkgs;

  app = package: {
    type = "app";
    program = lib.getExe package;
    meta = { inherit (package.meta) description; };
  };
in
{
  packages = {
    default = programs.consumer.package;
    stock-consumer = programs.consumer.package;
    stock-publisher = programs.publisher.package;
    stock-liveview = programs.liveview.package;
    inherit generated;
  }
  // lib.mapAttrs' (name: lib.nameValuePair "${name}-image") publishing.images;

  apps = {
    load = app publishing.load;
    publish = app publishing.publish;
  };

  checks = import ./development/checks.nix { inherit pkgs programs generated; };

  devShell = import ./development/shell.nix pkgs;
  formatter = pkgs.nixfmt-tree;
}
