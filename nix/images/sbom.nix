# A bill of materials for each of our images (CycloneDX, JSON). The publisher's lists what its program
# says is linked into it. The others list what their lock files name, without what only the tests need.
# The consumer's therefore includes procedural macros and crates for other systems.
{
  pkgs,
  about,
  publisher,
}:
let
  inherit (pkgs) lib;

  component = kind: name: version: {
    type = "library";
    inherit name version;
    purl = "pkg:${kind}/${builtins.replaceStrings [ "@" ] [ "%40" ] name}@${version}";
  };

  manifest = lib.importTOML ../../Cargo.toml;
  locked = (lib.importTOML ../../Cargo.lock).package;
  # A dependency is `name`, or `name version` where there are several.
  find =
    dependency:
    let
      words = lib.splitString " " dependency;
      isIt =
        crate:
        crate.name == builtins.head words
        && (builtins.length words == 1 || crate.version == lib.last words);
    in
    builtins.head (lib.filter isIt locked);
  root = find "stock-consumer";
  isOurs = dependency: manifest.dependencies ? ${builtins.head (lib.splitString " " dependency)};
  entry = crate: {
    key = "${crate.name} ${crate.version}";
    inherit crate;
  };
  crates = map ({ crate, ... }: component "cargo" crate.name crate.version) (
    builtins.genericClosure {
      startSet = map (dependency: entry (find dependency)) (lib.filter isOurs root.dependencies);
      operator = { crate, ... }: map (dependency: entry (find dependency)) (crate.dependencies or [ ]);
    }
  );

  packages = lib.mapAttrsToList (path: package: component "npm" (nameOf path) package.version) (
    lib.filterAttrs (
      path: package: path != "" && !(package.dev or false)
    ) (lib.importJSON ../../vendor-apps/stock-liveview/package-lock.json).packages
  );
  nameOf = path: lib.last (lib.splitString "node_modules/" path);

  node = component "generic" "node" pkgs.nodejs-slim_24.version;

  # A UUID (version 8) of the program and commit: the same inputs give the same bytes. An attestation
  # needs a serial number.
  serialNumber =
    name:
    let
      part = start: length: builtins.substring start length hash;
      hash = builtins.hashString "sha256" "${name} ${about.version} ${about.revision}";
    in
    "urn:uuid:${part 0 8}-${part 8 4}-8${part 13 3}-8${part 17 3}-${part 20 12}";

  # Without its components.
  document = name: {
    bomFormat = "CycloneDX";
    specVersion = "1.6";
    serialNumber = serialNumber name;
    version = 1;
    metadata.component = {
      type = "container";
      inherit name;
      inherit (about) version;
    };
  };

  bill =
    name: components:
    pkgs.writeText "${name}.cdx.json" (builtins.toJSON (document name // { inherit components; }));
in
{
  stock-consumer = bill "stock-consumer" crates;
  stock-liveview = bill "stock-liveview" ([ node ] ++ packages);

  # `go version -m` prints a line for each linked module: dep, path, version, hash.
  stock-publisher =
    pkgs.runCommand "stock-publisher.cdx.json"
      {
        nativeBuildInputs = [
          pkgs.go_1_26
          pkgs.jq
        ];
        env.DOCUMENT = builtins.toJSON (document "stock-publisher");
      }
      ''
        go version -m ${lib.getExe publisher} | jq --raw-input --slurp --argjson document "$DOCUMENT" '
          $document + {components: [split("\n")[] | split("\t") | select(.[1] == "dep")
            | {type: "library", name: .[2], version: .[3], purl: "pkg:golang/\(.[2])@\(.[3])"}]}' > $out
      '';
}
