# process-compose.yaml: the topology as processes of one machine (`make up`).
topology:
let
  yaml = import ./yaml.nix;
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    head
    ;

  key = entry: head (attrNames entry);
  open = port: "exec 3<>/dev/tcp/127.0.0.1/\${${port.variable}}";
  local = port: "127.0.0.1:\${${port.variable}}";

  # How a part of each kind is started, what it is told beyond the topology, and how it shows that it
  # is ready.
  kinds = {
    epmd.command = _: "exec scripts/run/epmd";
    rabbitmq = {
      command = _: "exec scripts/run/rabbitmq";
      probe = port: [ { exec = yaml.map [ { command = open port; } ]; } ];
    };
    mongo = {
      command = name: "exec scripts/run/mongod ${name}";
      probe = port: [ { exec = yaml.map [ { command = open port; } ]; } ];
    };
    mongo-init = {
      command = _: "exec scripts/mongo-init";
      restart = "on_failure";
    };
    publisher = {
      command = _: "exec target/local/stock-publisher";
      environment = part: [ { HTTP_ADDRESS = local part.port; } ];
      probe = asks "/readyz";
    };
    consumer = {
      command = _: "exec target/local/stock-consumer";
      environment = part: [ { HTTP_ADDRESS = local part.port; } ];
      probe = asks "/readyz";
    };
    liveview = {
      command = _: "exec node vendor-apps/stock-liveview/app.js";
      environment = part: [
        { NODE_ENV = "production"; }
        { HOST = "127.0.0.1"; }
        { PORT = "\${${part.port.variable}}"; }
      ];
      probe = asks "/readyz";
    };
    nginx = {
      command = _: "exec scripts/run/nginx";
      environment = _: [
        {
          LIVEVIEWS = concatStringsSep " " (
            map (part: local part.port) (builtins.filter (part: part.kind == "liveview") parts)
          );
        }
      ];
      probe = asks "/nginx-health";
    };
  };
  asks = path: port: [
    {
      http_get = yaml.map [
        { host = "127.0.0.1"; }
        { port = yaml.verbatim "\${${port.variable}}"; }
        { inherit path; }
      ];
    }
  ];

  conditions = {
    started = "process_started";
    ready = "process_healthy";
    done = "process_completed_successfully";
  };

  # RabbitMQ's Erlang needs a name service of its own here, apart from the machine's.
  epmd = {
    name = "epmd";
    kind = "epmd";
    description = "the name service of RabbitMQ's Erlang";
    needs = [ ];
  };
  parts = [
    epmd
  ]
  ++ map (
    part: if part.kind == "rabbitmq" then part // { needs = [ { epmd = "started"; } ]; } else part
  ) (topology.parts "local");

  process =
    part:
    let
      kind = kinds.${part.kind};
      environment = part.environment or [ ] ++ (kind.environment or (_: [ ])) part;
      optional = entries: condition: if condition then entries else [ ];
    in
    yaml.map (
      [
        { inherit (part) description; }
        { working_dir = "\${STOCKMARKET_ROOT}"; }
        { command = kind.command part.name; }
      ]
      ++ optional [ { environment = map assignment environment; } ] (environment != [ ])
      ++ optional [
        {
          depends_on = yaml.map (
            map (need: {
              ${key need} = yaml.map [ { condition = conditions.${need.${key need}}; } ];
            }) part.needs
          );
        }
      ] (part.needs != [ ])
      ++ optional [
        {
          readiness_probe = yaml.map (
            kind.probe part.port
            ++ [
              { period_seconds = 2; }
              { timeout_seconds = 5; }
              { failure_threshold = 1000000; }
            ]
          );
        }
      ] (kind ? probe)
      ++ [
        {
          availability = yaml.map [
            { restart = kind.restart or "always"; }
            { backoff_seconds = 1; }
          ];
        }
        {
          shutdown = yaml.map [
            { signal = 15; }
            { timeout_seconds = 15; }
          ];
        }
        { log_location = "\${STOCKMARKET_HOME}/logs/${part.name}.log"; }
        { log_configuration = yaml.verbatim "*log"; }
      ]
    );

  assignment =
    entry:
    let
      name = key entry;
      value = entry.${name};
    in
    if value ? secret then
      "${name}=\${STOCKMARKET_HOME}/secrets/${value.secret}"
    else
      "${name}=${value}";
in
yaml.write (
  yaml.map [
    (yaml.comment (import ./notice.nix))
    (yaml.comment ''
      The whole system as processes of this machine: `make up`. Folders and ports come
      from scripts/lib.sh and scripts/ports.

      What dies is started again after a second, for ever. Probes only report: a part
      that waits for another is not to be restarted for that, hence the threshold.
    '')
    { version = "0.5"; }
    { is_strict = true; }
    { is_tui_disabled = true; }
    { ordered_shutdown = true; }
    { log_level = "info"; }
    {
      log_configuration = yaml.anchor "log" (
        yaml.map [
          { disable_json = true; }
          { no_metadata = true; }
          { no_color = true; }
          { fields_order = yaml.flow [ "message" ]; }
          { flush_each_line = true; }
          {
            rotation = yaml.map [
              { max_size_mb = 20; }
              { max_backups = 2; }
            ];
          }
        ]
      );
    }
    { environment = [ "LOG_FORMAT=\${LOG_FORMAT:-text}" ]; }
    yaml.line
    {
      processes = yaml.map (
        builtins.tail (
          concatMap (part: [
            yaml.line
            { ${part.name} = process part; }
          ]) parts
        )
      );
    }
  ]
)
