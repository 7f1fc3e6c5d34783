# process-compose.yaml: the system as processes of this machine (`make up`).
topology:
with builtins;
let
  parts = topology.parts "local";
  address = part: "127.0.0.1:\${${part.port.variable}}";

  isOpen = part: {
    exec.command = "exec 3<>/dev/tcp/127.0.0.1/\${${part.port.variable}}";
  };
  answers = path: part: {
    http_get = {
      host = "127.0.0.1";
      port = "\${${part.port.variable}}";
      inherit path;
    };
  };

  # How a part of each kind starts, and how it shows that it is ready.
  kinds = {
    rabbitmq = part: {
      command = "exec scripts/run/rabbitmq";
      readiness_probe = isOpen part;
    };
    mongo = part: {
      command = "exec scripts/run/mongod ${part.name}";
      readiness_probe = isOpen part;
    };
    mongo-init = _: {
      command = "exec scripts/mongo-init";
      availability.restart = "on_failure";
    };
    publisher = part: {
      command = "exec target/debug/stock-publisher";
      environment.HTTP_ADDRESS = address part;
      readiness_probe = answers "/readyz" part;
    };
    consumer = part: {
      command = "exec target/debug/stock-consumer";
      environment.HTTP_ADDRESS = address part;
      readiness_probe = answers "/readyz" part;
    };
    liveview = part: {
      command = "exec node vendor-apps/stock-liveview/app.js";
      environment = {
        NODE_ENV = "production";
        HOST = "127.0.0.1";
        PORT = "\${${part.port.variable}}";
      };
      readiness_probe = answers "/readyz" part;
    };
    nginx = part: {
      command = "exec scripts/run/nginx";
      environment.LIVEVIEWS = concatStringsSep " " (
        map address (filter (part: part.kind == "liveview") parts)
      );
      readiness_probe = answers "/nginx-health" part;
    };
  };

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

  process =
    name: it:
    it
    // {
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
      log_location = "\${STOCKMARKET_HOME}/logs/${name}.log";
      log_configuration = log;
    };

  ofPart =
    part:
    let
      it = kinds.${part.kind} part;
      variables = mapAttrs (
        _: value: if isAttrs value then "\${STOCKMARKET_HOME}/secrets/${value.secret}" else value
      ) (part.environment or { } // it.environment or { });
      needs = part.needs or { } // (if part.kind == "rabbitmq" then { epmd = "started"; } else { });
    in
    process part.name (
      it
      // {
        inherit (part) description;
      }
      // (
        if variables == { } then
          { }
        else
          { environment = attrValues (mapAttrs (name: value: "${name}=${value}") variables); }
      )
      // (
        if needs == { } then
          { }
        else
          { depends_on = mapAttrs (_: need: { condition = conditions.${need}; }) needs; }
      )
      // (
        if it ? readiness_probe then
          {
            # Probes only report. A part that waits for another one is not to be restarted.
            readiness_probe = it.readiness_probe // {
              period_seconds = 2;
              timeout_seconds = 5;
              failure_threshold = 1000000;
            };
          }
        else
          { }
      )
    );
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
    processes =
      listToAttrs (
        map (part: {
          inherit (part) name;
          value = ofPart part;
        }) parts
      )
      // {
        # RabbitMQ's Erlang gets a name service of its own, apart from the machine's.
        epmd = process "epmd" {
          description = "the name service of RabbitMQ's Erlang";
          command = "exec scripts/run/epmd";
        };
      };
  }
