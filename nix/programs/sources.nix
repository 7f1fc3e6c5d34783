# The files of each program and check: an edit of any other file rebuilds nothing.
lib:
let
  inherit (lib) fileset;
  from =
    root: files:
    fileset.toSource {
      inherit root;
      fileset = fileset.unions files;
    };
in
{
  consumer = from ../../. [
    ../../Cargo.toml
    ../../Cargo.lock
    ../../src
    ../../bench/drain.rs
    (fileset.maybeMissing ../../deny.toml)
    (fileset.maybeMissing ../../rustfmt.toml)
    (fileset.maybeMissing ../../tests/consumer)
  ];

  publisher = from ../../vendor-apps/stock-publisher [
    ../../vendor-apps/stock-publisher/go.mod
    ../../vendor-apps/stock-publisher/go.sum
    (fileset.fileFilter (file: file.hasExt "go") ../../vendor-apps/stock-publisher)
  ];

  # A test holds the README's table of variables to the program.
  publisherWithReadme = from ../../vendor-apps/stock-publisher [
    ../../vendor-apps/stock-publisher/go.mod
    ../../vendor-apps/stock-publisher/go.sum
    ../../vendor-apps/stock-publisher/README.md
    (fileset.fileFilter (file: file.hasExt "go") ../../vendor-apps/stock-publisher)
  ];

  # What runs in production, without tests and development tools.
  liveview = from ../../vendor-apps/stock-liveview [
    ../../vendor-apps/stock-liveview/package.json
    ../../vendor-apps/stock-liveview/app.js
    ../../vendor-apps/stock-liveview/page
    ../../vendor-apps/stock-liveview/src
  ];
  liveviewWithTests = from ../../vendor-apps/stock-liveview [ ../../vendor-apps/stock-liveview ];

  # All that npm reads: a change of our code does not rebuild the dependencies.
  liveviewLock = from ../../vendor-apps/stock-liveview [
    ../../vendor-apps/stock-liveview/package.json
    ../../vendor-apps/stock-liveview/package-lock.json
  ];

  # The committed files that are rendered from the topology.
  generated = from ../../. (
    map (path: ../../. + "/${path}") (builtins.attrNames (import ../renderings))
  );

  nginx = from ../../nginx [ ../../nginx ];

  workflows = from ../../.github/workflows [ ../../.github/workflows ];

  nix = from ../../. [
    ../../flake.nix
    ../../nix
    ../../tests/nix
  ];
}
