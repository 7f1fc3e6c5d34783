# A bill of materials for each of our images (CycloneDX, JSON), read from the same lock files that
# the image is built from. A lock file names the tools of the tests too: they are listed with the
# rest where it does not tell them apart.
{ pkgs, about }:
let
  inherit (pkgs) lib;

  component = kind: name: version: {
    type = "library";
    inherit name version;
    purl = "pkg:${kind}/${builtins.replaceStrings [ "@" ] [ "%40" ] name}@${version}";
  };

  crates = map (crate: component "cargo" crate.name crate.version) (
    lib.filter (crate: crate ? source) (lib.importTOML ../Cargo.lock).package
  );

  # Lines such as: example.org/module v1.2.3 h1:…
  modules = map (line: component "golang" (builtins.elemAt line 0) (builtins.elemAt line 1)) (
    lib.filter (line: line != null) (
      map (builtins.match "([^ ]+) ([^ /]+) h1:.*") (
        lib.splitString "\n" (builtins.readFile ../vendor-apps/stock-publisher/go.sum)
      )
    )
  );

  packages = lib.mapAttrsToList (path: package: component "npm" (nameOf path) package.version) (
    lib.filterAttrs (
      path: package: path != "" && !(package.dev or false)
    ) (lib.importJSON ../vendor-apps/stock-liveview/package-lock.json).packages
  );
  nameOf = path: lib.last (lib.splitString "node_modules/" path);

  node = component "generic" "node" pkgs.nodejs-slim_24.version;

  bill =
    name: components:
    pkgs.writeText "${name}.cdx.json" (
      builtins.toJSON {
        bomFormat = "CycloneDX";
        specVersion = "1.6";
        version = 1;
        metadata.component = {
          type = "container";
          inherit name;
          inherit (about) version;
        };
        inherit components;
      }
    );
in
lib.mapAttrs bill {
  stock-consumer = crates;
  stock-publisher = modules;
  stock-liveview = [ node ] ++ packages;
}
