# What the project says of itself: in versions, labels and bills of materials.
self:
let
  manifest = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).package;
in
{
  # The three programs are released together, under the consumer's version.
  inherit (manifest) version;

  # Images say which commit they were made from; a changed work tree has none.
  revision = self.rev or "uncommitted";

  licence = manifest.license;
  source = manifest.repository or null;

  # The same inputs give the same bytes: no clock has a say in an image.
  created = "1970-01-01T00:00:00Z";
}
