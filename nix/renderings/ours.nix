# containers/ours.yml and containers/ours-published.yml: where compose.yml has our programs' images from.
# Compose reads the first, or the second when NAMESPACE is set.
with builtins;
with import ../lib.nix;
let
  inherit ((fromTOML (readFile ../../Cargo.toml)).package) version;

  # The folder of each program's Dockerfile.
  folders = {
    stock-consumer = "..";
    stock-publisher = "../vendor-apps/stock-publisher";
    stock-liveview = "../vendor-apps/stock-liveview";
  };
in
{
  "containers/ours.yml" =
    import ./yaml.nix
      ''
        ${import ./notice.nix}
        The images of our programs, built from this clone by Docker alone. Nothing is asked of a registry.''
      {
        services =
          mapAttrs (_: folder: {
            build = {
              context = folder;
              args.VERSION = version;
            };
            pull_policy = "never";
          }) folders
          // {
            image = {
              "#" = "For the other services with an image that one of these builds.";
              pull_policy = "never";
            };
          };
      };

  "containers/ours-published.yml" =
    import ./yaml.nix
      ''
        ${import ./notice.nix}
        The images of our programs, pulled from the namespace that NAMESPACE names.''
      {
        services = each (attrNames folders ++ [ "image" ]) { pull_policy = "missing"; };
      };
}
