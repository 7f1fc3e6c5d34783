{
  description = "A stand-in for crane: the functions that we use, made of this machine's own Rust";

  outputs = _: {
    mkLib = import ./.;
  };
}
