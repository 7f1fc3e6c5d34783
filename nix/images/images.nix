# The images: the program and what it needs at run time; no shell, no package manager, no root.
#
# Files are in the usual places (/bin, /lib, /app, /etc). Layers are ordered by how often they change;
# our code is the last one. The health check is the subcommand `healthcheck` of each program: an OCI
# image cannot declare one, so compose.yml does.
{
  pkgs,
  nix2container,
  about,
  consumer,
  publisher,
  liveview,
  originals,
  nodeRuntime,
}:
let
  inherit (pkgs) lib;

  # A name for the numeric user, for the tools that ask for one.
  user = pkgs.runCommand "image-user" { } ''
    mkdir -p $out/etc
    echo 'stockmarket:x:10001:10001::/:/sbin/nologin' > $out/etc/passwd
    echo 'stockmarket:x:10001:' > $out/etc/group
  '';

  # The public authorities for TLS, at the path where Go, rustls and nixpkgs' Node look first. Every image
  # has them.
  certificates = pkgs.runCommand "image-certificates" { } ''
    mkdir -p $out/etc/ssl/certs
    cp ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt $out/etc/ssl/certs/ca-certificates.crt
  '';

  # The labels of the OCI specification; what is null is left out.
  ociLabels =
    given:
    lib.mapAttrs' (name: lib.nameValuePair "org.opencontainers.image.${name}") (
      lib.filterAttrs (_: value: value != null) (
        {
          inherit (about) source revision version;
          licenses = about.licence;
        }
        // given
      )
    );

  image =
    {
      name,
      labels,
      beneath ? [ ],
      program,
      entrypoint,
      environment ? [ ],
      ports ? [ ],
      directory ? "/",
    }:
    nix2container.buildImage {
      name = "stockmarket/${name}";
      tag = "latest";
      inherit (about) created;
      layers = map (content: nix2container.buildLayer { copyToRoot = content; }) (
        [
          user
          certificates
        ]
        ++ beneath
      );
      copyToRoot = program;
      config = {
        User = "10001:10001";
        Entrypoint = entrypoint;
        Env = [ "PATH=/bin" ] ++ environment;
        ExposedPorts = lib.genAttrs (map (port: "${toString port}/tcp") ports) (_: { });
        WorkingDir = directory;
        Labels = ociLabels ({ title = name; } // labels);
      };
    };
in
{
  stock-consumer = image {
    name = "stock-consumer";
    labels.description = "Averages the trades of one queue and stores each average exactly once";
    program = consumer.package;
    entrypoint = [ "/bin/stock-consumer" ];
    environment = [ "HTTP_ADDRESS=0.0.0.0:9101" ];
    ports = [ 9101 ];
  };

  stock-publisher = image {
    name = "stock-publisher";
    labels.description = "Publishes synthetic stock trades to RabbitMQ";
    program = publisher.package;
    entrypoint = [ "/bin/stock-publisher" ];
    environment = [ "HTTP_ADDRESS=0.0.0.0:9100" ];
    ports = [ 9100 ];
  };

  stock-liveview = image {
    name = "stock-liveview";
    labels.description = "Serves the live average prices as a page";
    beneath = [
      nodeRuntime
      liveview.modules
    ];
    program = liveview.app;
    entrypoint = [
      "/bin/node"
      "/app/app.js"
    ];
    environment = [
      "HOST=0.0.0.0"
      "PORT=3000"
      "NODE_ENV=production"
    ];
    ports = [ 3000 ];
    directory = "/app";
  };

  stock-publisher-original = image {
    name = "stock-publisher-original";
    labels = {
      description = "The stock publisher that the assignment hands out, unchanged";
      source = "https://github.com/SwitzerChees/stock-publisher";
      revision = originals.revisions.publisher;
      licenses = null; # it names none
      version = null;
    };
    program = originals.publisher;
    entrypoint = [ "/bin/stock-publisher" ];
  };

  stock-liveview-original = image {
    name = "stock-liveview-original";
    labels = {
      description = "The stock live view that the assignment hands out, unchanged";
      source = "https://github.com/SwitzerChees/stock-liveview";
      revision = originals.revisions.liveview;
      licenses = "MIT";
      version = null;
    };
    beneath = [
      nodeRuntime
      originals.liveview.modules
    ];
    program = originals.liveview.app;
    entrypoint = [
      "/bin/node"
      "app.js"
    ];
    environment = [
      "PORT=3000"
      "NODE_ENV=production"
    ];
    ports = [ 3000 ];
    directory = "/app";
  };
}
