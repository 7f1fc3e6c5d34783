# The production dependencies that a package-lock.json names, as npm installs them.
#
# nixpkgs' own helpers read the download addresses of a lock file, and ours has none. So npm itself
# fetches, into a derivation whose content is fixed by `hash`, as Go's modules are. npm's bookkeeping and
# the empty folders of some npm versions are removed, so that the rest depends on the lock file alone.
# The lock file's hash is part of the name: a changed lock file is fetched anew, and an old `hash` fails.
{
  pkgs,
  name,
  src,
  lock,
  hash,
}:
pkgs.stdenvNoCC.mkDerivation {
  name = "${name}-node-modules-${builtins.substring 0 8 (builtins.hashFile "sha256" lock)}";
  inherit src;
  nativeBuildInputs = [
    pkgs.cacert
    pkgs.nodejs_24
  ];
  impureEnvVars = pkgs.lib.fetchers.proxyImpureEnvVars;

  buildPhase = ''
    runHook preBuild
    export HOME=$TMPDIR
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund
    rm node_modules/.package-lock.json
    find node_modules -type d -empty -delete
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    mkdir -p $out/app
    cp -r node_modules $out/app/
    runHook postInstall
  '';
  dontFixup = true;

  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = hash;
}
