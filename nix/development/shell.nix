# `nix develop`: every tool that the project uses. `make up` and `make test` find them on the path and
# install nothing.
pkgs:
pkgs.mkShell {
  name = "stockmarket";

  packages =
    (with pkgs; [
      # The consumer
      cargo
      cargo-deny
      clippy
      rust-analyzer
      rustc
      rustfmt

      # The publisher
      go_1_26
      gopls

      # The live view
      nodejs_24

      # The servers
      mongodb-ce
      mongosh
      nginx
      process-compose
      rabbitmq-server

      # Containers
      docker-client
      docker-compose
      regclient
      skopeo

      # What the scripts and the tests call
      actionlint
      curl
      deadnix
      git
      gnumake
      jq
      nixfmt
      openssl
      shellcheck
      statix
    ])
    ++ pkgs.lib.optionals pkgs.stdenv.hostPlatform.isLinux [
      pkgs.chromium # for the tests of the page
      pkgs.util-linux # setpriv, for the scripts that start the system
    ];

  env.RUST_SRC_PATH = pkgs.rustPlatform.rustLibSrc; # for rust-analyzer
}
