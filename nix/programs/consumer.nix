# stock-consumer, the Rust consumer: one static program without any reference into the store.
#
# Static against glibc, not musl: glibc's allocator is faster under our load, and nixpkgs' compiler
# supports it.
{
  pkgs,
  craneLib,
  sources,
}:
let
  common = {
    src = sources.consumer;
    strictDeps = true;
    env = {
      # Naming the target keeps the flags away from build scripts and procedural macros, which have to be
      # dynamic. So does the static C library's folder among the flags: as a build input it would come
      # before the shared one in every link, and build scripts crash (NixOS/nixpkgs#59267).
      CARGO_BUILD_TARGET = pkgs.stdenv.hostPlatform.rust.rustcTarget;
      CARGO_BUILD_RUSTFLAGS = "-C target-feature=+crt-static -L native=${pkgs.glibc.static}/lib";
    };
  };
  withDependencies = common // {
    cargoArtifacts = craneLib.buildDepsOnly common;
  };
in
{
  package = craneLib.buildPackage (
    withDependencies
    // {
      doCheck = false; # the tests are a check of their own
      nativeBuildInputs = [ pkgs.nukeReferences ];
      # The static C library knows where its locales and converters lay; nothing here asks for them.
      postFixup = "nuke-refs $out/bin/*";
      allowedReferences = [ ];
      meta = {
        description = "Averages the trades of one queue and stores each average exactly once";
        license = pkgs.lib.licenses.mit;
        mainProgram = "stock-consumer";
      };
    }
  );

  clippy = craneLib.cargoClippy (
    withDependencies // { cargoClippyExtraArgs = "--all-targets -- --deny warnings"; }
  );

  # Only the unit tests: the tests under tests/ need a broker and a database (`make test`).
  tests = craneLib.cargoTest (withDependencies // { cargoTestExtraArgs = "--lib --bins"; });

  format = craneLib.cargoFmt { inherit (common) src; };

  licences = craneLib.cargoDeny { inherit (common) src; };
}
