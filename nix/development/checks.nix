# `nix flake check`: everything that needs no running server.
{
  pkgs,
  programs,
  generated,
}:
let
  inherit (programs)
    sources
    consumer
    publisher
    liveview
    ;

  # A check is a command that succeeds. Its output is empty.
  check =
    name: tools: command:
    pkgs.runCommand "check-${name}" { nativeBuildInputs = tools; } ''
      ${command}
      touch $out
    '';
in
{
  consumer = consumer.package;
  consumer-clippy = consumer.clippy;
  consumer-format = consumer.format;
  consumer-licences = consumer.licences;
  consumer-tests = consumer.tests;

  publisher = publisher.package;
  publisher-tests = publisher.tests;

  liveview = liveview.package;
  liveview-tests = liveview.tests;

  # The committed files are what renderings/ gives.
  generated = check "generated" [ ] ''
    cd ${generated}
    find . -type l -o -type f | while read -r file; do
      diff -u "${sources.generated}/$file" "$file"
    done
  '';

  nginx = check "nginx" [ pkgs.nginx ] ''
    mkdir -p etc run/tmp
    cp ${sources.nginx}/core.conf ${sources.nginx}/site.conf etc/
    # Outside a container the live views' names do not resolve, and the prefix is another folder.
    sed "s/server [a-z0-9]*:/server 127.0.0.1:/; s/ resolve / /; s|/run/nginx/|$PWD/run/|" \
      ${sources.nginx}/container.conf > etc/nginx.conf
    NGINX_HOME=$PWD/run bash ${sources.nginx}/start-container "$PWD/etc/nginx.conf" 3000 -t
  '';

  nix-format = check "nix-format" [ pkgs.nixfmt ] ''
    find ${sources.nix} -name '*.nix' -exec nixfmt --check {} +
  '';
  nix-lints =
    check "nix-lints"
      [
        pkgs.deadnix
        pkgs.statix
      ]
      ''
        deadnix --fail ${sources.nix}
        statix check ${sources.nix}
      '';

  workflows = check "workflows" [ pkgs.actionlint pkgs.shellcheck ] ''
    actionlint ${sources.workflows}/*.yml
  '';
}
