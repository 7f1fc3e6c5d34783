# stock-liveview, the Node live view: our code, and its production dependencies beside it.
{
  pkgs,
  about,
  sources,
}:
let
  modules = import ./node-modules.nix {
    inherit pkgs;
    name = "stock-liveview";
    src = sources.liveviewLock;
    lock = ../../vendor-apps/stock-liveview/package-lock.json;
    hash = "sha256-x4syRGl7e8rpI95lIFdV8WmiBV2Afd+4Im1F9Gpbjqs=";
  };

  app = pkgs.runCommand "stock-liveview-app-${about.version}" { } ''
    mkdir $out
    cp -r ${sources.liveview} $out/app
  '';
in
{
  inherit modules app;

  # Only the tests that need no database: the others have it from support.js (`make test`).
  tests = pkgs.runCommand "stock-liveview-tests" { nativeBuildInputs = [ pkgs.nodejs-slim_24 ]; } ''
    cp -r ${sources.liveviewWithTests} app
    chmod -R u+w app
    ln -s ${modules}/app/node_modules app/node_modules
    cd app
    node --test $(grep --files-without-match support.js test/*.test.js)
    touch $out
  '';

  package =
    pkgs.runCommand "stock-liveview-${about.version}"
      {
        nativeBuildInputs = [ pkgs.makeWrapper ];
        meta = {
          description = "Serves the live average prices as a page";
          license = pkgs.lib.licenses.mit;
          mainProgram = "stock-liveview";
        };
      }
      ''
        mkdir -p $out/lib
        cp -r ${app}/app $out/lib/stock-liveview
        chmod u+w $out/lib/stock-liveview
        ln -s ${modules}/app/node_modules $out/lib/stock-liveview/node_modules
        makeWrapper ${pkgs.lib.getExe pkgs.nodejs-slim_24} $out/bin/stock-liveview \
          --add-flags $out/lib/stock-liveview/app.js
      '';
}
