# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stage linking: nix/programs/consumer.nix gives a static program, and build scripts that run.

# build_tiny CONSUMER: builds the crate in tiny/ by the expression in the file CONSUMER, as $scratch/tiny.
build_tiny() {
  nix build --impure --out-link "$scratch/tiny" --print-build-logs --expr "
    let
      pkgs = import $local/inputs/nixpkgs { system = \"$system\"; };
    in
    (import $1 {
      inherit pkgs;
      craneLib = import $local/inputs/crane pkgs;
      sources.consumer = pkgs.lib.fileset.toSource {
        root = $here/tiny;
        fileset = $here/tiny;
      };
    }).package" > "$scratch/log" 2>&1
}

# changed FILE SED-SCRIPT…: a copy of consumer.nix with another way to link.
changed() {
  local file=$1
  shift
  sed "$@" "$root/nix/programs/consumer.nix" > "$file"
  ! cmp -s "$file" "$root/nix/programs/consumer.nix" || fail "consumer.nix is not written as this test expects"
}

test_linking() {
  say "How the consumer is linked"
  build_tiny "$root/nix/programs/consumer.nix" || { tail -n 20 "$scratch/log" >&2; fail "consumer.nix builds no program"; }
  local interpreter
  ! interpreter=$(patchelf --print-interpreter "$scratch/tiny/bin/tiny" 2> /dev/null) ||
    fail "the program is not static: it starts with $interpreter"
  [ "$("$scratch/tiny/bin/tiny")" = "$(rustc -vV | sed -n 's/^host: //p')" ] || fail "the static program does not run"
  ok "consumer.nix gives a static program, and its build scripts run"

  # What nixpkgs would do with other ways to link, so that this test is not passed by accident.
  changed "$scratch/without.nix" -e 's| -L native=[^"]*||'
  ! build_tiny "$scratch/without.nix" || fail "the stand-in links the C library of the machine"
  grep -q 'unable to find library -lc\|cannot find -lc' "$scratch/log" || { tail -n 20 "$scratch/log" >&2; fail "it fails for another reason"; }
  ok "without the static C library it fails, as nixpkgs' compiler knows none"

  changed "$scratch/input.nix" -e 's| -L native=[^"]*||' -e 's|^    strictDeps = true;|&\n    buildInputs = [ pkgs.glibc.static ];|'
  ! build_tiny "$scratch/input.nix" || fail "the stand-in does not put a build input's libraries first"
  grep -q 'build-script-build.*SIGSEGV' "$scratch/log" || { tail -n 20 "$scratch/log" >&2; fail "it fails for another reason"; }
  ok "with the static C library as a build input, build scripts crash, as on nixpkgs (NixOS/nixpkgs#59267)"
}
