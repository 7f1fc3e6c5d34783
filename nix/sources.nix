# Which files each program is built from, so that an edit of anything else rebuilds nothing.
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
  consumer = from ../. [
    ../Cargo.toml
    ../Cargo.lock
    ../src
    ../bench/drain.rs
    (fileset.maybeMissing ../deny.toml)
    (fileset.maybeMissing ../rustfmt.toml)
    (fileset.maybeMissing ../tests/consumer)
  ];

  publisher = from ../vendor-apps/stock-publisher [
    ../vendor-apps/stock-publisher/go.mod
    ../vendor-apps/stock-publisher/go.sum
    (fileset.fileFilter (file: file.hasExt "go") ../vendor-apps/stock-publisher)
  ];

  # A test holds the README's table of variables to the program.
  publisherWithReadme = from ../vendor-apps/stock-publisher [
    ../vendor-apps/stock-publisher/go.mod
    ../vendor-apps/stock-publisher/go.sum
    ../vendor-apps/stock-publisher/README.md
    (fileset.fileFilter (file: file.hasExt "go") ../vendor-apps/stock-publisher)
  ];

  # What runs in production: neither tests nor the tools of development.
  liveview = from ../vendor-apps/stock-liveview [
    ../vendor-apps/stock-liveview/package.json
    ../vendor-apps/stock-liveview/app.js
    ../vendor-apps/stock-liveview/page
    ../vendor-apps/stock-liveview/src
  ];
  liveviewWithTests = from ../vendor-apps/stock-liveview [ ../vendor-apps/stock-liveview ];

  # What npm needs to know, and no more: the dependencies stay as they are when our code changes.
  liveviewLock = from ../vendor-apps/stock-liveview [
    ../vendor-apps/stock-liveview/package.json
    ../vendor-apps/stock-liveview/package-lock.json
  ];

  # What the topology generates, as it lies here.
  generated = from ../. (map (path: ../. + "/${path}") (builtins.attrNames (import ./rendered.nix)));

  nginx = from ../nginx [ ../nginx ];

  workflows = from ../.github/workflows [ ../.github/workflows ];

  nix = from ../. [
    ../flake.nix
    ../nix
    ../tests/nix
  ];
}
