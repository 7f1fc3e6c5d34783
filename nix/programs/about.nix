# The project's version, licence and source, for labels and bills of materials.
self:
let
  manifest = (builtins.fromTOML (builtins.readFile ../../Cargo.toml)).package;
in
{
  # The three programs are released together, under the consumer's version.
  inherit (manifest) version;

  # The commit that an image was made from. A changed work tree has none.
  revision = self.rev or "uncommitted";

  licence = manifest.license;
  source = manifest.repository or null;

  # The same inputs give the same bytes: an image's time is fixed.
  created = "1970-01-01T00:00:00Z";
}
