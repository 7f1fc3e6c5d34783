# shellcheck shell=bash
# Checks and their results, for every suite: scripts/test, tests/nix/run, tests/compose/run. Sourced.
#
# A check is a command that succeeds or fails. Its name, output and outcome are files in $results. A
# suite that is part of a larger run, as in .ci/run, gets that folder as TEST_RESULTS, and the larger
# run sums up all suites.

own_results=
[[ -n ${TEST_RESULTS:-} ]] || own_results=$(mktemp -d)
readonly own_results results=${TEST_RESULTS:-$own_results}

# require_root COMMAND: ends the suite unless it may start container engines and install packages.
require_root() {
  ((EUID == 0)) || {
    echo "stockmarket: $1 needs root and Debian, or a Debian container with --privileged" >&2
    exit 1
  }
}

# check NAME COMMAND…: runs the command once.
check() { run_check once "$@"; }

# check_twice NAME COMMAND…: for tests that start servers. When tests fail, it runs `COMMAND… TEST…`
# with only these, once more. If they pass then, the check passes, but counts as FLAKY.
check_twice() { run_check twice "$@"; }

run_check() {
  local tries=$1 name=$2 begin=$SECONDS record outcome=passed flaky=()
  shift 2
  record=$(mktemp -d "$results/$(date +%s%N).XXXXXX")
  echo "$name" >"$record/name"
  printf '\n── %s\n' "$name"
  if ! attempt "$record/output" "$@"; then
    outcome=FAILED
    [[ $tries == once ]] || mapfile -t flaky < <(failed_tests <"$record/output")
    if ((${#flaky[@]})); then
      printf '\n── %s: failed, once more: %s\n' "$name" "${flaky[*]}"
      mv "$record/output" "$record/first-output"
      if attempt "$record/output" "$@" "${flaky[@]}"; then
        outcome=FLAKY
      else
        flaky=()
      fi
    fi
  fi
  printf '%s\n' "${flaky[*]}" >"$record/flaky"
  echo $((SECONDS - begin)) >"$record/seconds"
  echo "$outcome" >"$record/outcome"
  [[ $outcome == passed ]] || printf '── %s: %s\n' "$outcome" "$name"
}

# attempt FILE COMMAND…: keeps the output in FILE. Shows it at once; where other checks run side by
# side with this one, all of it at the end.
attempt() {
  local file=$1
  shift
  if [[ -z ${in_lane:-} ]]; then
    "$@" 2>&1 | tee "$file"
  elif "$@" >"$file" 2>&1; then
    show_output "$file"
  else
    show_output "$file"
    return 1
  fi
}

show_output() {
  [[ -s $1 ]] || return 0
  local lock
  exec {lock}<"$results"
  flock "$lock"
  printf '\n── %s: its output\n' "$(cat "${1%/*}/name")"
  cat "$1"
  exec {lock}<&-
}

# The names of failed tests in the output of cargo, Go and Node (which names files), and of a suite's
# stages.
failed_tests() {
  sed -nE -e 's/^test (.+) \.\.\. FAILED$/\1/p' -e 's/^--- FAIL: ([^ ]+) .*/\1/p' \
    -e 's/^test at (.+):[0-9]+:[0-9]+$/\1/p' -e 's/^FAILED: stage (.+)$/\1/p' | sort -u
}

# --- side by side -------------------------------------------------------------

lanes=()

# lane COMMAND…: runs a function of checks beside other lanes. `alone` runs one and waits for it. Each
# has a process group of its own, so that a signal to the suite ends it at once, with all that it started.
lane() { in_lane=1 start_lane "$@"; }
alone() {
  start_lane "$@"
  await_lanes
}

start_lane() {
  set -m
  (
    trap - EXIT INT TERM HUP
    "$@"
  ) </dev/null &
  set +m
  lanes+=($!)
}

await_lanes() {
  local lane
  for lane in "${lanes[@]}"; do
    wait "$lane" || abandoned "a lane of checks ended early"
  done
  lanes=()
}

# For the suite's EXIT trap: ends what still runs, and removes the results.
end_checks() {
  local lane
  for lane in "${lanes[@]}"; do
    kill -- "-$lane" 2>/dev/null || true
    wait "$lane" 2>/dev/null || true
  done
  [[ -z $own_results ]] || rm -rf "$own_results"
}

# --- the end ------------------------------------------------------------------

# abandoned NAME: a check that could not even begin, or that nobody reported.
abandoned() {
  local record
  record=$(mktemp -d "$results/$(date +%s%N).XXXXXX")
  echo "$1" >"$record/name"
  touch "$record/output" "$record/flaky"
  echo 0 >"$record/seconds"
  echo FAILED >"$record/outcome"
}

# records OUTCOME [FOLDER]: the folders of the checks with this outcome, in the order of their beginnings.
records() { { grep -rlx --include=outcome "$1" "${2:-$results}" || true; } | sort | xargs -r dirname; }
count() { records "$1" | wc -l; }

# Where the output of cargo, Go, Node and compilers begins to say what went wrong.
readonly failures='^failures:|^--- FAIL|failing tests:|^error(\[|:)|^panic:'

# explain RECORD LINES: the part of a failed check's output that says why, in so many lines at most.
explain() {
  if grep -qE "$failures" "$1/output"; then
    sed -nE "/$failures/,\$p" "$1/output" | grep -v '^[[:space:]]*$' | head -n "$2"
  else
    grep -v '^[[:space:]]*$' "$1/output" | tail -n "$2"
  fi | cut -c 1-200
}

# conclude LINES: says how each check went, and why those failed that did, in so many lines in all.
# Fails when a check failed or none ran.
conclude() {
  local record failed passed flaky lines
  failed=$(count FAILED) flaky=$(count FLAKY)
  passed=$(($(count passed) + flaky))
  printf '\n'
  for record in $(records passed); do
    printf 'passed  %s (%s s)\n' "$(cat "$record/name")" "$(cat "$record/seconds")"
  done
  lines=$((failed ? ($1 - flaky - 3) / failed - 3 : 0))
  for record in $(records FAILED); do
    printf '\n── %s\n' "$(cat "$record/name")"
    explain "$record" "$((lines > 0 ? lines : 1))"
  done
  printf '\n'
  for record in $(records FLAKY); do
    printf 'FLAKY   %s (%s s): passed the second time: %s\n' \
      "$(cat "$record/name")" "$(cat "$record/seconds")" "$(cat "$record/flaky")"
  done
  for record in $(records FAILED); do
    printf 'FAILED  %s (%s s)\n' "$(cat "$record/name")" "$(cat "$record/seconds")"
  done
  printf '%d flaky, in %d s\n%d passed, %d failed\n' "$flaky" "$SECONDS" "$passed" "$failed"
  ((failed == 0 && passed > 0))
}
