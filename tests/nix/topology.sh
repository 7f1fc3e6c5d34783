# shellcheck shell=bash disable=SC2154 # the variables are run's and lib.sh's
# Stage topology: one file describes the system, and a changed description runs.

# Companies with symbols as exchanges use them.
awkward_companies=(BRK.B BRK-B brk.b 0700.HK BTC-USD '^GSPC' RDS/A ES=F EUR/USD:FX)

# In a copy of the project, adds companies, a third live view and a standby for each company to
# topology.nix, and a part of a new kind as a file in parts/. Starts that system.
test_topology() {
  say "One topology, every rendering"
  "$root/nix/generate" --check || fail "the committed files are not what the topology gives"
  ok "the committed files are what the topology gives"
  [ "$(nix eval --store dummy:// --json --file "$root/nix/topology.nix" companies)" = '["MSFT","TSLA","AAPL"]' ] ||
    fail "nix eval does not read the topology on its own"
  nix eval --store dummy:// --json --file "$root/nix/topology.nix" parts \
    --apply 'parts: map (part: part.name) (parts "containers")' | grep -q consumer-aapl-2 ||
    fail "the topology has no standby in containers"
  ok "the topology evaluates on its own"

  local copy=$scratch/copy
  mkdir "$scratch/home"
  copy_project "$copy"
  mkdir -p "$root/target" "$root/.local/tools"
  ln -s "$root/target" "$copy/target"
  mkdir "$copy/.local"
  ln -s "$root/.local/tools" "$copy/.local/tools"

  local added
  added=$(printf '\\n    "%s"' AMZN "${awkward_companies[@]}")
  sed -i -e "s|^    (share \"AAPL\" .*|&$added|" -e 's/liveviews = 2;/liveviews = 3;/' -e 's/    local = 1;/    local = 2;/' \
    "$copy/nix/topology.nix"
  cat > "$copy/nix/parts/echo.nix" << 'END'
_:
with import ../containers;
{
  parts = _: [
    {
      name = "echo";
      description = "a part of a new kind";
      needs.rabbitmq = "ready";
    }
  ];
  process = _: { command = "exec sleep infinity"; };
  service = _: hardened // {
    image = images.nginx;
    networks = [ "web" ];
  };
}
END
  "$copy/nix/generate" > "$scratch/generated"
  local file
  for file in process-compose.yaml scripts/companies scripts/ports compose.yml stack.yml containers/prometheus.yml; do
    grep -q "$file" "$scratch/generated" || fail "$file does not follow the topology"
  done
  grep -q '^  liveview3:' "$copy/compose.yml" || fail "there is no third live view in containers"
  grep -q '^  echo:' "$copy/compose.yml" || fail "there is no part of the new kind in containers"
  ok "more companies, a third live view, standbys and a part of a new kind are in every rendering"

  # Ports of this test, in the order of the file. A window of fewer trades is as fast, and costs less.
  local -a environment
  mapfile -t environment < <(awk -v port=25100 '!/^#/ && NF { print $1 "=" port++ }' "$copy/scripts/ports")
  environment+=(TICKER_INTERVAL=10 BATCH_SIZE=100 "STOCKMARKET_HOME=$scratch/home")
  if ! env "${environment[@]}" make -C "$copy" up > "$scratch/up" 2>&1; then
    tail -n 30 "$scratch/up" >&2
    fail "the system of the changed topology does not come up"
  fi
  local status=0 without_history
  env "${environment[@]}" make -C "$copy" status > "$scratch/status" 2>&1 || status=$?
  without_history=$(env "${environment[@]}" node "$here/histories.mjs" < "$copy/scripts/companies" 2>&1) || true
  env "${environment[@]}" make -C "$copy" down > /dev/null 2>&1 || true
  local part
  # So many companies share the consumers.
  for part in consumer-1 consumer-1-2 consumer-8 consumer-8-2 liveview3 echo; do
    grep -q "$part" "$scratch/status" || { cat "$scratch/status" >&2; fail "$part is not part of the running system"; }
  done
  [ "$status" -eq 0 ] || { cat "$scratch/status" >&2; fail "the system of the changed topology is not healthy"; }
  local company
  for company in AMZN "${awkward_companies[@]}"; do
    awk -v company="$company" '$1 == company && $2 ~ /^[0-9]+\.[0-9]+$/ { found = 1 } END { exit !found }' \
      "$scratch/status" || { cat "$scratch/status" >&2; fail "no average of $company"; }
  done
  ok "make up runs it: every company has an average, every part is ready"
  [ -z "$without_history" ] || fail "the live view has no history of: $without_history"
  ok "the live view has every company's history"
}
