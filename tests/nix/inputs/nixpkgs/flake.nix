{
  description = "A stand-in for nixpkgs: just what our expressions use, made of this machine's own tools";

  outputs = _: {
    lib = import ./lib.nix;
  };
}
