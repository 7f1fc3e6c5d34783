# The packages and builders of nixpkgs that our expressions use, and no others.
{
  system,
  config ? { },
}:
let
  lib = import ./lib.nix;
  host = import ./host.nix;

  isLinux = lib.hasSuffix "-linux" system;
  arm = lib.hasPrefix "aarch64-" system;
  platform = {
    inherit system isLinux;
    isDarwin = !isLinux;
    # This machine's Rust has only its own platform's libraries: the program under the arm64 label
    # is not an arm64 program. It serves to test publishing, not to run.
    rust.rustcTarget = host.rustTarget;
  };
  inherit (import ./stdenv.nix { inherit lib host platform; }) stdenv stdenvNoCC;

  runCommand =
    name: arguments: buildCommand:
    stdenvNoCC.mkDerivation (arguments // { inherit name buildCommand; });

  # A package that contains programs of this machine.
  programs =
    name: list: passthru:
    (runCommand "host-${name}" { meta.mainProgram = builtins.head list; } ''
      mkdir -p $out/bin
      ${lib.concatMapStrings (program: ''
        ln -s ${host.programs.${program} or "/not/on/this/machine/${program}"} $out/bin/${program}
      '') list}
    '')
    // passthru;
  tool = name: programs name [ name ] { };

  unfree =
    package:
    if (config.allowUnfreePredicate or (_: false)) package then
      package
    else
      throw "${package.name} is unfree and not allowed";

  writeText =
    name: text:
    runCommand name { env = { inherit text; }; } ''
      printf %s "$text" > $out
    '';

  buildGoModule =
    {
      pname,
      version,
      src,
      vendorHash,
      overrideModAttrs ? (_: { }),
      env ? { },
      ldflags ? [ ],
      subPackages ? [ ],
      doCheck ? true,
      checkFlags ? [ ],
      nativeBuildInputs ? [ ],
      postFixup ? "",
      allowedReferences ? null,
      meta ? { },
    }:
    let
      goModules =
        (stdenvNoCC.mkDerivation {
          name = "${pname}-${version}-go-modules";
          inherit src;
          nativeBuildInputs = nativeBuildInputs ++ [ go ];
          buildPhase = ''
            export GOCACHE=$TMPDIR/go-cache GOFLAGS=
            go mod vendor
          '';
          installPhase = "cp -r vendor $out";
          dontFixup = true;
          outputHashMode = "recursive";
          outputHashAlgo = "sha256";
          outputHash = vendorHash;
        }).overrideAttrs
          overrideModAttrs;
    in
    stdenv.mkDerivation (
      {
        inherit
          pname
          version
          src
          subPackages
          checkFlags
          doCheck
          postFixup
          meta
          ;
        nativeBuildInputs = [ go ] ++ nativeBuildInputs;
        env = {
          inherit (go) GOOS GOARCH;
          GOFLAGS = "-mod=vendor -trimpath";
          GOPROXY = "off";
          GOTOOLCHAIN = "local";
        }
        // env;
        configurePhase = ''
          export GOCACHE=${host.goCache} GOPATH=$TMPDIR/go
          packages() {
            local package
            for package in ''${subPackages:-...}; do
              printf './%s ' "$package"
            done
          }
          cp -r ${goModules} vendor
          chmod -R u+w vendor
        '';
        buildPhase = ''
          go install -ldflags ${lib.escapeShellArg (toString (ldflags ++ [ "-buildid=" ]))} $(packages)
        '';
        checkPhase = "go test -vet=off $checkFlags $(packages)";
        # A program for another platform lands in a folder of that platform's name.
        installPhase = ''
          mkdir -p $out/bin $GOPATH/bin
          find $GOPATH/bin -type f -exec cp {} $out/bin/ \;
        '';
        passthru = { inherit goModules vendorHash; };
      }
      // lib.optionalAttrs (allowedReferences != null) { inherit allowedReferences; }
    );

  go = programs "go" [ "go" "gofmt" ] {
    GOOS = "linux";
    GOARCH = if arm then "arm64" else "amd64";
  };
  node = programs "nodejs" [ "node" "npm" "npx" ] { version = host.nodeVersion; };
in
{
  inherit
    lib
    stdenv
    stdenvNoCC
    runCommand
    writeText
    go
    ;
  go_1_26 = go;
  buildGo126Module = buildGoModule;

  nodejs_24 = node;
  nodejs-slim_24 = programs "nodejs-slim" [ "node" ] { version = host.nodeVersion; };

  linkFarm =
    name: entries:
    runCommand name { } (
      ''
        mkdir -p $out
        cd $out
      ''
      + lib.concatMapStrings (
        entry:
        let
          inherit (lib.strictly "linkFarm's entry" [ "name" "path" ] entry) name path;
        in
        ''
          mkdir -p "$(dirname ${lib.escapeShellArg name})"
          ln -s ${path} ${lib.escapeShellArg name}
        ''
      ) entries
    );

  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? { },
      excludeShellChecks ? [ ],
      meta ? { },
    }:
    runCommand name
      {
        env.script = ''
          #!${host.bash}
          set -o errexit
          set -o nounset
          set -o pipefail
          ${lib.concatMapStrings (variable: ''
            export ${variable}=${lib.escapeShellArg runtimeEnv.${variable}}
          '') (builtins.attrNames runtimeEnv)}
          export PATH="${lib.makeBinPath runtimeInputs}:$PATH"

          ${text}
        '';
        nativeBuildInputs = [ (tool "shellcheck") ];
        meta = {
          mainProgram = name;
        }
        // meta;
      }
      ''
        mkdir -p $out/bin
        printf %s "$script" > $out/bin/${name}
        chmod +x $out/bin/${name}
        bash -n $out/bin/${name}
        shellcheck ${lib.concatMapStrings (code: "--exclude ${code} ") excludeShellChecks} $out/bin/${name}
      '';

  mkShell =
    {
      name,
      packages ? [ ],
      env ? { },
      shellHook ? "",
    }:
    runCommand name { nativeBuildInputs = packages; } "touch $out"
    // {
      inherit packages env shellHook;
    };

  makeWrapper = runCommand "makeWrapper" { } ''
    mkdir -p $out/bin
    cp ${./make-wrapper.sh} $out/bin/makeWrapper
    chmod +x $out/bin/makeWrapper
  '';

  nukeReferences = runCommand "nuke-references" { } ''
    mkdir -p $out/bin
    cp ${./nuke-refs.sh} $out/bin/nuke-refs
    chmod +x $out/bin/nuke-refs
  '';

  cacert = runCommand "cacert" { } ''
    mkdir -p $out/etc/ssl/certs
    cp ${host.certificates} $out/etc/ssl/certs/ca-bundle.crt
  '';

  glibc = {
    bin = tool "ldd";
    static = runCommand "glibc-static" { } "mkdir -p $out/lib";
  };

  rustPlatform.rustLibSrc = runCommand "rust-lib-src" { } "mkdir $out";
  cargo = tool "cargo";
  rustc = tool "rustc";
  clippy = programs "clippy" [ "cargo-clippy" "clippy-driver" ] { };
  rustfmt = programs "rustfmt" [ "cargo-fmt" "rustfmt" ] { };

  gnumake = tool "make";
  rabbitmq-server = tool "rabbitmq-server";
  regclient = tool "regctl";
  util-linux = tool "setpriv";
  docker-client = tool "docker";
  nixfmt-tree = tool "nixfmt";
  mongodb-ce = unfree (tool "mongod" // { pname = "mongodb-ce"; });
}
// lib.genAttrs [
  "actionlint"
  "cargo-deny"
  "chromium"
  "curl"
  "deadnix"
  "docker-compose"
  "git"
  "gopls"
  "jq"
  "mongosh"
  "nginx"
  "nixfmt"
  "openssl"
  "patchelf"
  "process-compose"
  "rust-analyzer"
  "shellcheck"
  "skopeo"
  "statix"
] tool
