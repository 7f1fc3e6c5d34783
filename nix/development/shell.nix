# `nix develop`: every tool that the project uses. On Linux `make up` and `make test` find them on the path and
# install nothing. The scripts need Linux, so the shell of a Mac has no servers: it is for editing, `nix fmt` and
# `docker compose`.
pkgs:
let
  inherit (pkgs) lib;

  # The Erlang that RabbitMQ runs on, for epmd: RabbitMQ has it only on the path of its own scripts.
  erlang = lib.findFirst (
    package: lib.getName package == "erlang"
  ) pkgs.erlang pkgs.rabbitmq-server.buildInputs;
in
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

      # Containers
      docker-client
      docker-compose
      regclient
      skopeo

      # Lints, and what the scripts and the tests call
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
    ++ lib.optionals pkgs.stdenv.hostPlatform.isLinux [
      # The servers
      erlang
      pkgs.mongodb-ce
      pkgs.mongosh
      pkgs.nginx
      pkgs.process-compose
      pkgs.rabbitmq-server

      pkgs.chromium # for the tests of the page
      pkgs.util-linux # flock, renice, setpriv and setsid, for the scripts that start the system
    ];

  env.RUST_SRC_PATH = pkgs.rustPlatform.rustLibSrc; # for rust-analyzer
}
