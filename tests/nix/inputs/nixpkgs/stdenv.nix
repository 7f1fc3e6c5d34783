# mkDerivation: the phases, hooks and attributes of the real one that our expressions use.
{
  lib,
  host,
  platform,
  compiler,
}:
let
  known = [
    # What it is
    "name"
    "pname"
    "version"
    "meta"
    "passthru"
    # What it is made from
    "src"
    "nativeBuildInputs"
    "buildInputs"
    "strictDeps"
    "env"
    "impureEnvVars"
    # How it is made
    "buildCommand"
    "configurePhase"
    "buildPhase"
    "doCheck"
    "checkPhase"
    "installPhase"
    "postInstall"
    "dontFixup"
    "postFixup"
    # Of buildGoModule, for overrideAttrs
    "subPackages"
    "checkFlags"
    # What may come out
    "outputHash"
    "outputHashAlgo"
    "outputHashMode"
    "allowedReferences"
    "disallowedReferences"
  ];

  make =
    withCompiler: given:
    let
      arguments = lib.strictly "mkDerivation" known given;
      name = arguments.name or "${arguments.pname}-${arguments.version}";
      variables = removeAttrs arguments [
        "name"
        "meta"
        "passthru"
        "env"
        "nativeBuildInputs"
        "buildInputs"
        "impureEnvVars"
      ];
      # Only a fixed-output derivation sees the network. Here it runs outside of the sandbox, and finds the
      # registries through the settings of this machine's clients.
      fetches = lib.optionalAttrs (arguments ? outputHash) (host.environment // { __noChroot = true; });
      result = derivation (
        fetches
        // variables
        // arguments.env or { }
        // {
          inherit name;
          inherit (host) system;
          builder = host.bash;
          args = [
            "-e"
            ./builder.sh
          ];
          hostTools = host.stdenv + lib.optionalString withCompiler ":${compiler}/bin:${host.compiler}";
          tools = arguments.nativeBuildInputs or [ ];
          libraries = arguments.buildInputs or [ ];
        }
      );
    in
    result
    // arguments.passthru or { }
    // {
      inherit name;
      meta = arguments.meta or { };
      overrideAttrs =
        change: make withCompiler (given // (if builtins.isFunction change then change given else change));
    }
    // lib.optionalAttrs (arguments ? pname) { inherit (arguments) pname version; };
in
{
  stdenv = {
    mkDerivation = make true;
    hostPlatform = platform;
  };
  stdenvNoCC = {
    mkDerivation = make false;
    hostPlatform = platform;
  };
}
