# compose.original.yml: the original publisher and live views in place of ours.
topology:
let
  yaml = import ./yaml.nix;
  containers = import ./containers.nix topology;
  inherit (containers) ours images;
  inherit (builtins) toString;

  # As /proc/net/tcp writes it: a connection, established, to the broker's port.
  established = ":1628 01 ";
  isBroker = topology.ports.rabbitmq.container == 5672;

  url = "/stockmarket/original-url.cjs";
  page = "http://127.0.0.1:${toString topology.ports.liveview.container}/";

  liveview = name: {
    ${name} = yaml.map [
      { image = ours "stock-liveview-original"; }
      { environment = yaml.map [ { NODE_OPTIONS = "--require ${url}"; } ]; }
      {
        healthcheck = yaml.map [
          {
            test = [
              "CMD"
              "/bin/node"
              "-e"
              "fetch('${page}').then(({ ok }) => process.exit(ok ? 0 : 1))"
            ];
          }
        ];
      }
      {
        configs = [
          (yaml.map [
            { source = "original-url"; }
            { target = url; }
          ])
        ];
      }
    ];
  };
in
assert isBroker;
yaml.write (
  yaml.map [
    (yaml.comment (import ./notice.nix))
    (yaml.comment ''
      The original publisher and live views in place of ours:
      `docker compose -f compose.yml -f compose.original.yml up`

      They take their addresses, passwords and all, from the environment only, where the container
      engine would show them to whoever asks for it. So both are told at the last moment, inside.
    '')
    { x-part = yaml.anchor "part" (yaml.map containers.hardening); }
    yaml.line
    {
      services = yaml.map (
        [
          (yaml.comment "Its queues are not durable: a broker that knows ours already would refuse them.")
          {
            rabbitmq = yaml.map [ { volumes = [ "rabbitmq-original:/var/lib/rabbitmq" ]; } ];
          }
          yaml.line
          (yaml.comment ''
            The original's image holds nothing but the program, not even a shell that could read a file:
            its program is lent out. The volume is filled when the container is made; what the container
            runs is of no importance: a program that the engine lends, to end well.
          '')
          {
            publisher-files = yaml.map [
              { "<<" = yaml.verbatim "*part"; }
              { image = ours "stock-publisher-original"; }
              { user = containers.nobody; }
              { restart = "no"; }
              { init = true; }
              {
                entrypoint = yaml.flow [
                  "/sbin/docker-init"
                  "--version"
                ];
              }
              { network_mode = "none"; }
              { volumes = [ "original-publisher:/bin" ]; }
              { mem_limit = "16m"; }
              { cpus = "0.5"; }
              { pids_limit = 5; }
            ];
          }
          yaml.line
          {
            publisher = yaml.map [
              { image = images.mongo; }
              {
                entrypoint = [
                  "bash"
                  "-c"
                  "RABBITMQ_URL=$$(< $$RABBITMQ_URL_FILE) exec /original/stock-publisher"
                ];
              }
              {
                depends_on = yaml.map [
                  { publisher-files = yaml.map [ { condition = "service_completed_successfully"; } ]; }
                ];
              }
              {
                healthcheck = yaml.map [
                  {
                    test = yaml.flow [
                      "CMD"
                      "grep"
                      "-q"
                      established
                      "/proc/net/tcp"
                    ];
                  }
                ];
              }
              { volumes = [ "original-publisher:/original:ro" ]; }
              {
                tmpfs = [
                  "/data/db:size=1m"
                  "/data/configdb:size=1m"
                ];
              }
            ];
          }
        ]
        ++ builtins.concatMap (name: [
          yaml.line
          (liveview name)
        ]) topology.liveviewNames
      );
    }
    yaml.line
    {
      volumes = yaml.map [
        { rabbitmq-original = yaml.map [ ]; }
        { original-publisher = yaml.map [ ]; }
      ];
    }
    yaml.line
    {
      configs = yaml.map [
        { original-url = yaml.map [ { file = "containers/original-url.cjs"; } ]; }
      ];
    }
  ]
)
