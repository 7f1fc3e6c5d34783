# process-compose.yaml: the system as processes of this machine (`make up`).
topology:
with builtins;
with import ../lib.nix;
let
  conditions = {
    started = "process_started";
    ready = "process_healthy";
    done = "process_completed_successfully";
  };

  log = {
    disable_json = true;
    no_metadata = true;
    no_color = true;
    fields_order = [ "message" ];
    flush_each_line = true;
    rotation = {
      max_size_mb = 20;
      max_backups = 2;
    };
  };

  # A process of its kind, with what the topology says of this part.
  process =
    part:
    let
      it = topology.kinds.${part.kind}.process part;
      environment =
        resolve "\${STOCKMARKET_HOME}/secrets" (part.environment or { }) // it.environment or { };
      needs = part.needs or { };
    in
    it
    // {
      inherit (part) description;
      working_dir = "\${STOCKMARKET_ROOT}";
      # A process that dies starts again after a second, for ever.
      availability = {
        restart = "always";
        backoff_seconds = 1;
      }
      // it.availability or { };
      shutdown = {
        signal = 15;
        timeout_seconds = 15;
      };
      log_location = "\${STOCKMARKET_HOME}/logs/${part.name}.log";
      log_configuration = log;
    }
    // unless (environment == { }) {
      environment = attrValues (mapAttrs (name: value: "${name}=${value}") environment);
    }
    // unless (needs == { }) {
      depends_on = mapAttrs (_: need: { condition = conditions.${need}; }) needs;
    }
    // unless (!(it ? readiness_probe)) {
      # Probes only report. A part that waits for another one is not to be restarted.
      readiness_probe = it.readiness_probe // {
        period_seconds = 2;
        timeout_seconds = 5;
        failure_threshold = 1000000;
      };
    };
in
import ./yaml.nix
  ''
    ${import ./notice.nix}
    The whole system as processes of this machine: `make up`. Folders and ports come from
    scripts/lib.sh and scripts/ports.''
  {
    version = "0.5";
    is_strict = true;
    is_tui_disabled = true;
    ordered_shutdown = true;
    log_level = "info";
    log_configuration = log;
    environment = [ "LOG_FORMAT=\${LOG_FORMAT:-text}" ];
    processes = listToAttrs (
      map (part: {
        inherit (part) name;
        value = process part;
      }) (topology.parts "local")
    );
  }
