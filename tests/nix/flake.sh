# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stages lock, format, outputs, checks: the flake as it is written.

test_lock() {
  say "flake.lock"
  cp "$root/flake.lock" "$scratch/flake.lock"
  nix flake lock "$flake" || fail "flake.lock and the inputs of flake.nix differ"
  cmp -s "$root/flake.lock" "$scratch/flake.lock" || fail "Nix would write another flake.lock"
  ok "Nix takes flake.lock as it is, without asking the network"

  local pins=$root/../shared/flake-pins.json
  if [ -e "$pins" ]; then
    # Each line: name, rev, narHash.
    jq -r '.. | objects | select(.rev) | "\(.repo) \(.rev) \(.narHash)"' "$pins" | sort > "$scratch/pins"
    jq -r '.nodes[].locked // empty | "\(.repo) \(.rev) \(.narHash)"' "$root/flake.lock" | sort > "$scratch/locked"
    diff "$scratch/pins" "$scratch/locked" || fail "flake.lock differs from flake-pins.json"
    ok "every revision and hash is the pinned one"
  fi
}


test_format() {
  say "Format and lints"
  mapfile -t files < <(cd "$root" && git ls-files '*.nix' | sed "s,^,$root/,")
  "$local/tools/bin/nixfmt" --check "${files[@]}" || fail "not formatted: run \`nix fmt\`"
  "$local/tools/bin/deadnix" --fail "${files[@]}"
  nix-instantiate --parse "${files[@]}" > /dev/null
  ok "${#files[@]} Nix files parse, are formatted and name nothing that is not used"

  "$local/tools/bin/actionlint" "$root"/.github/workflows/*.yml
  ok "the workflows pass actionlint"
  "$root/.local/tools/bin/shellcheck" --external-sources --source-path "$here" "$here"/run "$here"/stage "$here"/*.sh \
    "$root"/nix/generate "$root"/nix/development/build-twice "$root"/nix/images/publish.sh "$root"/nix/images/release
  ok "the scripts pass shellcheck"
}


test_outputs() {
  say "Every output evaluates"
  nix flake check "$flake" "${inputs[@]}" --no-build 2>&1 | grep -v -E "^(•|warning: not writing|    '|  → )" || true
  nix flake check "$flake" "${inputs[@]}" --no-build 2> /dev/null || fail "nix flake check"
  ok "nix flake check --no-build, for four systems"

  # The stand-ins are as strict as the real functions.
  local call slip
  while IFS='|' read -r call slip; do
    evaluates "${call/@/}" || fail "the stand-ins refuse ${call/@/}"
    ! evaluates "${call/@/$slip}" || fail "the stand-ins take ${call/@/$slip}"
  done << 'CALLS'
(crane.mkLib pkgs).buildPackage { inherit src; @ }|cargoArtefacts = null;
(crane.mkLib pkgs).cargoFmt { inherit src; @ }|cargoArtifacts = null;
pkgs.buildGo126Module { pname = "x"; version = "1"; inherit src; vendorHash = ""; @ }|vendorSha256 = "";
pkgs.stdenvNoCC.mkDerivation { name = "x"; @ }|shell = "sh";
pkgs.writeText "x" "${pkgs.lib.fileset.toSource { root = src.origSrc; fileset = @(src.origSrc + "/Cargo.toml"); }}"|toString
pkgs.writeShellApplication { name = "x"; text = ""; @ }|path = [ ];
nix2container.buildImage { name = "x"; @ }|healthcheck = { };
nix2container.buildImage { name = "x"; config = { User = "1"; @ }; }|Healthcheck = { };
nix2container.buildLayer { copyToRoot = src; @ }|contents = src;
CALLS
  ok "the stand-ins refuse arguments that the real functions do not have"

  local before after
  copy_project "$scratch/edited"
  before=$(recipes "$scratch/edited")
  echo edited | tee -a "$scratch/edited"/{README.md,nix/README.md,scripts/up,nginx/site.conf} > /dev/null
  after=$(recipes "$scratch/edited")
  [ "$before" = "$after" ] || { diff <(echo "$before") <(echo "$after") >&2; fail "an edit of what a program is not made of builds it anew"; }
  ok "an edit of the documentation, a script or the load balancer builds no program and no image anew"
}

# recipes FOLDER: prints the derivation of each program and image of the project in FOLDER.
recipes() {
  nix eval --json "path:$1#packages.$system" "${inputs[@]}" \
    --apply 'all: builtins.mapAttrs (_: package: package.drvPath) (removeAttrs all [ "generated" ])' 2> /dev/null |
    jq -r 'to_entries[] | "\(.key) \(.value)"'
}

# evaluates EXPRESSION: whether it can be evaluated. The stand-ins have the names of the inputs.
evaluates() {
  nix eval --impure --expr "
    let
      pkgs = import $local/inputs/nixpkgs { system = \"$system\"; };
      crane.mkLib = import $local/inputs/crane;
      nix2container = import $local/inputs/nix2container \"$system\";
      src = pkgs.lib.fileset.toSource {
        root = $root;
        fileset = $root/Cargo.toml;
      };
    in
    ($1).drvPath" > /dev/null 2>&1
}


test_checks() {
  say "Checks of the flake"
  check_sandbox
  # cargo-deny and statix are not available here. `make test` runs clippy. The consumer's tests take minutes.
  local check
  local -a checks=(consumer-format publisher-tests liveview-tests generated nginx nix-format workflows)
  [ -z "${FULL:-}" ] || checks+=(consumer-tests)
  for check in "${checks[@]}"; do
    flake build "checks.$system.$check" --no-link --print-build-logs 2> "$scratch/log" ||
      { tail -n 40 "$scratch/log"; fail "check $check"; }
    ok "check $check"
  done
  check_build_twice
}

# Builds see what they see on nixpkgs.
check_sandbox() {
  nix build --impure --no-link --print-build-logs --expr "
    (import $local/inputs/nixpkgs { system = \"$system\"; }).runCommand \"sandbox-$RANDOM$RANDOM\" { } ''
      for file in /usr/bin/env /bin/bash $root/flake.nix $HOME/.[a-z]*; do
        [ ! -f \$file ]
      done
      ! (exec 3<> /dev/tcp/192.0.2.1/80) 2> refused
      grep 'unreachable' refused
      touch \$out
    ''" 2> "$scratch/log" || { tail -n 20 "$scratch/log" >&2; fail "a build sees more than on nixpkgs"; }
  ok "a build sees no network, no home folder, no clone and no /usr/bin/env"
}

# The command of the workflow "Checks", on programs that were never built before.
check_build_twice() {
  local copy=$scratch/new
  copy_project "$copy"
  echo "// $RANDOM$RANDOM" | tee -a "$copy/vendor-apps/stock-liveview/app.js" "$copy/vendor-apps/stock-publisher/main.go" > /dev/null
  # A `nix` that takes the stand-ins.
  mkdir "$scratch/bin"
  printf '#!%s\nexec %s "$@" %s\n' "$BASH" "$(type -P nix)" "${inputs[*]}" > "$scratch/bin/nix"
  chmod +x "$scratch/bin/nix"
  (cd "$copy" && PATH=$scratch/bin:$PATH nix/development/build-twice stock-liveview stock-publisher) 2> "$scratch/log" ||
    { tail -n 40 "$scratch/log" >&2; fail "build-twice"; }
  ok "programs that were never built before are built twice, and are the same"
}
