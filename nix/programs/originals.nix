# The original publisher and live view, built unchanged from their pinned sources. The lock file for npm
# that they lack is in vendor-apps/original/.
{ pkgs, inputs }:
let
  liveviewLock = ../../vendor-apps/original/stock-liveview/package-lock.json;
  liveviewManifest = pkgs.runCommand "stock-liveview-original-manifest" { } ''
    mkdir $out
    cp ${inputs.stock-liveview-original}/package.json $out/
    cp ${liveviewLock} $out/package-lock.json
  '';
in
{
  # Which commits these are; a stand-in for one of them has none.
  revisions = {
    publisher = inputs.stock-publisher-original.rev or null;
    liveview = inputs.stock-liveview-original.rev or null;
  };

  publisher = pkgs.buildGo126Module {
    pname = "stock-publisher-original";
    version = "0";
    src = inputs.stock-publisher-original;
    vendorHash = "sha256-kfgF1+1H0Fvv7y7+EVMAutZrlhK9/Jkb2FWpobd0CNg=";
    env.CGO_ENABLED = "0";
    ldflags = [
      "-s"
      "-w"
    ];
    doCheck = false;
    nativeBuildInputs = [ pkgs.nukeReferences ];
    postFixup = "nuke-refs $out/bin/*";
    allowedReferences = [ ];
    meta.mainProgram = "stock-publisher";
  };

  liveview = {
    modules = import ./node-modules.nix {
      inherit pkgs;
      name = "stock-liveview-original";
      src = liveviewManifest;
      lock = liveviewLock;
      hash = "sha256-RkOgtxpUCvUhFGKW25sk2IXG8CTsQl4Xfk1nZSp6W6g=";
    };
    app = pkgs.runCommand "stock-liveview-original-app" { } ''
      mkdir -p $out/app
      cd ${inputs.stock-liveview-original}
      cp -r package.json app.js client server $out/app/
    '';
  };
}
