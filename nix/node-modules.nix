# The production dependencies that a package-lock.json names, as npm installs them.
#
# nixpkgs' own helpers read the download addresses of a lock file, and ours has none. So npm itself
# fetches, into a derivation whose content is fixed by `hash`, as Go's modules are. npm's own
# bookkeeping is dropped, as are the folders that some versions leave empty: the rest depends on the
# lock file alone, not on npm's version. The lock file's own hash is part of the name, so that a
# changed lock file is always fetched anew and a `hash` that was forgotten is noticed everywhere.
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
