# Each function accepts the arguments that crane documents for it and those of mkDerivation, and
# fails on any other.
pkgs:
let
  inherit (pkgs) lib stdenv;
  host = import ./host.nix;

  common = [
    "src"
    "strictDeps"
    "buildInputs"
    "nativeBuildInputs"
    "env"
    "doCheck"
    "cargoExtraArgs"
    "pname"
    "version"
  ];
  build = common ++ [
    "cargoArtifacts"
    "postInstall"
    "postFixup"
    "allowedReferences"
    "meta"
  ];

  # Read where the source comes from: evaluating must not need its copy in the store.
  manifest = arguments: (lib.importTOML (arguments.src.origSrc + "/Cargo.toml")).package;

  # What the dependencies depend on: an edit of our code does not rebuild them.
  cargoFiles =
    src:
    lib.fileset.toSource {
      root = src.origSrc;
      fileset = lib.fileset.unions [
        (src.origSrc + "/Cargo.toml")
        (src.origSrc + "/Cargo.lock")
      ];
    };

  # The crates of the lock file, fetched by this machine's cargo. The real one fetches each by its hash.
  vendored =
    src:
    stdenv.mkDerivation {
      name = "vendored-crates";
      nativeBuildInputs = [
        pkgs.cargo
        pkgs.rustc
      ];
      env = host.environment // {
        __noChroot = true;
      };
      buildCommand = ''
        mkdir work $out
        cd work
        cp ${cargoFiles src}/Cargo.* .
        chmod u+w Cargo.*
        mkdir src
        touch src/lib.rs
        sed -i -E '/^\[\[(test|bench|example|bin)\]\]/,/^$/d' Cargo.toml
        export HOME=${host.home}
        cargo vendor --locked --versioned-dirs $out/crates > $out/config.toml
      '';
    };

  cargo =
    arguments: suffix: more: commands:
    stdenv.mkDerivation (
      {
        pname = (manifest arguments).name + suffix;
        inherit (manifest arguments) version;
        inherit (arguments) src;
        nativeBuildInputs = arguments.nativeBuildInputs or [ ] ++ [
          pkgs.cargo
          pkgs.rustc
        ];
        buildInputs = arguments.buildInputs or [ ];
        env = arguments.env or { };
        configurePhase = ''
          export CARGO_HOME=$NIX_BUILD_TOP/cargo RUSTUP_HOME=${host.rustupHome}
          mkdir -p $CARGO_HOME
          cp ${vendored arguments.src}/config.toml $CARGO_HOME/config.toml
          export CARGO_NET_OFFLINE=true CARGO_BUILD_INCREMENTAL=false
          ${lib.concatStringsSep "" (
            lib.mapAttrsToList (name: value: "export ${name}=${value}\n") host.cargoProfile
          )}
          ${lib.optionalString (arguments.cargoArtifacts or null != null) ''
            tar -xf ${arguments.cargoArtifacts}/target.tar
          ''}
        '';
      }
      // more
      // commands
    );
in
{
  buildDepsOnly =
    given:
    let
      arguments = lib.strictly "buildDepsOnly" common given;
    in
    cargo arguments "-deps" { } {
      # Builds the dependencies with empty programs in place of our code.
      src = pkgs.runCommand "source" { } ''
        mkdir -p $out/src
        cp ${cargoFiles arguments.src}/Cargo.lock $out/
        sed -E '/^\[\[(test|bench|example|bin)\]\]/,/^$/d' ${cargoFiles arguments.src}/Cargo.toml > $out/Cargo.toml
        echo 'fn main() {}' > $out/src/main.rs
        touch $out/src/lib.rs
      '';
      # The real one checks and tests too, so that clippy and the tests find their dependencies.
      buildPhase = ''
        cargo build --release --locked
        cargo clean --release -p ${(manifest arguments).name}
      '';
      installPhase = ''
        mkdir $out
        tar -cf $out/target.tar target
      '';
    };

  buildPackage =
    given:
    let
      arguments = lib.strictly "buildPackage" build given;
    in
    cargo arguments ""
      (builtins.intersectAttrs {
        postInstall = null;
        postFixup = null;
        allowedReferences = null;
        meta = null;
      } arguments)
      {
        buildPhase = "cargo build --release --locked";
        installPhase = ''
          mkdir -p $out/bin
          find target -path '*/release/*' -maxdepth 3 -type f -perm -u+x ! -name '*.so' -exec cp {} $out/bin/ \;
        '';
      };

  cargoClippy =
    given:
    let
      arguments = lib.strictly "cargoClippy" (build ++ [ "cargoClippyExtraArgs" ]) given;
    in
    cargo arguments "-clippy" { } {
      nativeBuildInputs = [
        pkgs.cargo
        pkgs.clippy
        pkgs.rustc
      ];
      buildPhase = "cargo clippy --release --locked ${arguments.cargoClippyExtraArgs or "--all-targets"}";
      installPhase = "mkdir $out";
    };

  cargoTest =
    given:
    let
      arguments = lib.strictly "cargoTest" (build ++ [ "cargoTestExtraArgs" ]) given;
    in
    cargo arguments "-test" { } {
      buildPhase = "cargo test --release --locked ${arguments.cargoTestExtraArgs or ""}";
      installPhase = "mkdir $out";
    };

  cargoFmt =
    given:
    let
      arguments = lib.strictly "cargoFmt" [ "src" "rustFmtExtraArgs" ] given;
    in
    cargo arguments "-fmt" { } {
      nativeBuildInputs = [
        pkgs.cargo
        pkgs.rustfmt
      ];
      buildPhase = "cargo fmt -- --check ${arguments.rustFmtExtraArgs or ""}";
      installPhase = "mkdir $out";
    };

  cargoDeny =
    given:
    let
      arguments = lib.strictly "cargoDeny" [ "src" "cargoDenyChecks" "cargoDenyExtraArgs" ] given;
    in
    cargo arguments "-deny" { } {
      nativeBuildInputs = [
        pkgs.cargo
        pkgs.cargo-deny
        pkgs.rustc
      ];
      buildPhase = "cargo --offline deny check ${arguments.cargoDenyChecks or "bans licenses sources"}";
      installPhase = "mkdir $out";
    };
}
