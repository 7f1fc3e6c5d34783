# stack.yml: the system on the machines of a Swarm (`docker stack deploy`). Its services are those of
# compose.yml, changed where several machines or Swarm need it. `generated` are the other rendered files:
# Swarm's configs are named after their content.
topology: generated:
with builtins;
let
  files = import ./containers/files.nix;
  networks = import ./containers/networks.nix;
  secretsOf = import ./containers/secrets.nix;
  inherit (import ./containers/services.nix topology) kinds mount;

  parts = topology.parts "containers";
  ofKind = kind: filter (part: part.kind == kind) parts;
  the = kind: head (ofKind kind);

  set =
    names: value:
    listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );

  # ---- From a Compose service to a Swarm service ---------------------------------------------------

  # `/tmp:size=16m,mode=1777` as a mount: Swarm knows only the size.
  scratch =
    text:
    let
      words = match "([^:]*):size=([0-9]*)m.*" text;
    in
    {
      type = "tmpfs";
      target = head words;
      tmpfs.size = fromJSON (head (tail words)) * 1024 * 1024;
    };

  secret =
    uid: text:
    let
      renamed = match "(.*):(.*)" text;
    in
    {
      source = if renamed == null then text else head renamed;
      target = if renamed == null then text else head (tail renamed);
      uid = toString uid;
      gid = toString uid;
      mode = 256; # 0400
    };

  # Swarm restarts and limits services in its own way, does not order their starts, and cannot forbid new
  # privileges.
  unknown = [
    "restart"
    "security_opt"
    "depends_on"
    "tmpfs"
    "ports"
    "mem_limit"
    "cpus"
    "pids_limit"
  ];

  # swarm PART CHANGES: the service of this part. Changes are keys of the service, and `test` of its
  # health check, `networkOptions` of each of its networks, `environment` beside its own.
  swarm =
    part: changes:
    let
      it = kinds.${part.kind} part;
      environment =
        it.environment or { }
        // mapAttrs (_: value: if isAttrs value then "/run/secrets/${value.secret}" else value) (
          part.environment or { }
        )
        // changes.environment or { };
      volumes =
        filter (volume: match ".*:/run/secrets:ro" volume == null) (it.volumes or [ ])
        ++ map scratch (it.tmpfs or [ ]);
      reader = secretsOf.${part.kind} or null;
      optional = name: value: if value == { } || value == [ ] then { } else { ${name} = value; };
      networkNames = if isList it.networks then it.networks else attrNames it.networks;
    in
    removeAttrs it (
      unknown
      ++ [
        "environment"
        "volumes"
      ]
    )
    // removeAttrs changes [
      "environment"
      "networkOptions"
      "test"
    ]
    // optional "environment" environment
    // optional "volumes" volumes
    // optional "secrets" (if reader == null then [ ] else map (secret reader.uid) reader.files)
    // {
      "#" = changes."#" or part.description;
      networks = set (filter (name: name != "managing") networkNames) (_: changes.networkOptions or { });
      deploy = changes.deploy or { } // {
        resources.limits = {
          memory = it.mem_limit;
          inherit (it) cpus;
          pids = it.pids_limit;
        };
      };
    }
    // (
      if it ? healthcheck then
        {
          healthcheck = {
            test = changes.test or it.healthcheck.test;
            interval = "5s";
            timeout = "5s";
            retries = 6;
            start_period = "300s";
          };
        }
      else
        { }
    );

  # ---- How parts are placed and updated ------------------------------------------------------------

  # Servers keep their data on one machine: the one with the label of their number.
  pinned = n: {
    endpoint_mode = "dnsrr";
    placement.constraints = [ "node.labels.stockmarket.server${toString n} == true" ];
  };
  # The next task is healthy before the last one ends.
  rolling = replicas: {
    inherit replicas;
    placement.preferences = [ { spread = "node.id"; } ];
    update_config = {
      parallelism = 1;
      order = "start-first";
      failure_action = "rollback";
      monitor = "15s";
    };
  };

  named = name: value: { inherit name value; };

  brokers = topology.numbered topology.brokers (
    n:
    let
      name = "rabbitmq${toString n}";
      part = the "rabbitmq" // {
        inherit name;
      };
      service = swarm part {
        "#" = "one of the brokers that share the queues";
        hostname = name;
        networkOptions.aliases = [ "rabbitmq" ];
        environment.RABBITMQ_NODENAME = "rabbit@${name}";
        configs = (kinds.rabbitmq part).configs ++ mount [ "rabbitmq-cluster" ];
        # A stricter check would keep the brokers from finding each other: Swarm publishes the address of
        # healthy tasks only.
        test = [
          "CMD"
          "bash"
          "-c"
          "exec 3<>/dev/tcp/127.0.0.1/25672"
        ];
        deploy = pinned n;
      };
    in
    named name (
      service
      // {
        # These settings keep other nodes out.
        environment = removeAttrs service.environment [
          "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
          "ERL_EPMD_ADDRESS"
        ];
      }
    )
  );

  members = topology.numbered topology.members (
    n:
    let
      part = elemAt (ofKind "mongo") (n - 1);
    in
    named part.name (
      swarm part {
        hostname = part.name;
        # A member without a primary is not to be restarted.
        test = (kinds.mongo part).healthcheck.test ++ [ "alive" ];
        deploy = pinned n;
      }
    )
  );

  consumers = map (
    part:
    named part.name (
      swarm part {
        "#" = "averages the trades of ${part.company}: one task does, the others are hot standbys";
        deploy = rolling topology.consumers.containers;
      }
    )
  ) (filter (part: part.number == 1) (ofKind "consumer"));

  services = listToAttrs (brokers ++ members ++ consumers) // {
    mongo-init = swarm (the "mongo-init") {
      deploy.restart_policy = {
        condition = "on-failure";
        delay = "5s";
      };
    };

    publisher = swarm (the "publisher") { };

    liveview = swarm (the "liveview") {
      "#" = "show the newest averages, live";
      environment.LIVEVIEW_NAME = "liveview-{{.Task.Slot}}";
      deploy = rolling topology.liveviews // {
        endpoint_mode = "dnsrr";
      };
    };

    # One on each machine, so that it sees the clients' addresses.
    nginx = swarm (the "nginx") {
      ports = [
        {
          target = topology.ports.nginx.container;
          published = "\${NGINX_PORT:-${toString topology.ports.nginx.local}}";
          mode = "host";
        }
      ];
      test = [
        "CMD"
        "bash"
        "/health/nginx"
        (toString topology.ports.nginx.container)
        "/nginx-health"
      ];
      deploy.mode = "global";
    };
  };

  # ---- What the services use -----------------------------------------------------------------------

  each = f: concatMap f (attrValues services);
  networkNames = each (service: attrNames service.networks);
  volumeNames = concatMap (match "([^:]*):.*") (
    filter isString (each (service: service.volumes or [ ]))
  );
  secretNames = map (secret: secret.source) (each (service: service.secrets or [ ]));
  fileNames = map (config: config.source) (each (service: service.configs or [ ]));
  content = path: generated.${path} or (readFile (../.. + "/${path}"));
in
import ./yaml.nix
  ''
    ${import ./notice.nix}
    The whole system on the machines of a Swarm: docs/several-machines.md says how to deploy it.''
  {
    version = "3.9";
    inherit services;
    networks =
      mapAttrs (
        _: network:
        removeAttrs network [ "driver_opts" ]
        // {
          driver = "overlay";
          driver_opts.encrypted = "true";
        }
      ) (removeAttrs networks (filter (name: !(elem name networkNames)) (attrNames networks)))
      // {
        "#" = "Who may talk to whom. What they say between machines is encrypted.";
      };
    volumes = set volumeNames (_: { });
    secrets =
      set secretNames (name: {
        file = "secrets/${name}";
      })
      // {
        "#" = "Made by scripts/stack-secrets.";
      };
    configs =
      set fileNames (name: {
        name = "stockmarket-${name}-${substring 0 8 (hashString "sha256" (content files.${name}.file))}";
        inherit (files.${name}) file;
      })
      // {
        "#" = "Swarm never changes a config: another content gets another name.";
      };
  }
