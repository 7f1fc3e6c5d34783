# The programs, ours and the two originals, and their sources.
{
  pkgs,
  craneLib,
  inputs,
}:
rec {
  about = import ./about.nix inputs.self;
  sources = import ./sources.nix pkgs.lib;

  consumer = import ./consumer.nix { inherit pkgs craneLib sources; };
  publisher = import ./publisher.nix { inherit pkgs about sources; };
  liveview = import ./liveview.nix { inherit pkgs about sources; };
  originals = import ./originals.nix { inherit pkgs inputs; };
}
