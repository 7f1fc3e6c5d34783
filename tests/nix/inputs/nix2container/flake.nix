{
  description = "A stand-in for nix2container: images with the same content, as OCI layouts";

  outputs = _: {
    packages = builtins.listToAttrs (
      map
        (system: {
          name = system;
          value = {
            nix2container = import ./. system;
          };
        })
        [
          "x86_64-linux"
          "aarch64-linux"
          "x86_64-darwin"
          "aarch64-darwin"
        ]
    );
  };
}
