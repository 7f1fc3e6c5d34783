# stack.yml: the topology on the machines of a Swarm (`docker stack deploy`). `generated` are the other
# files that the topology generates: path -> content.
topology: generated:
let
  yaml = import ./yaml.nix;
  containers = import ./containers.nix topology;
  inherit (yaml)
    key
    merge
    optional
    spaced
    ;
  inherit (containers) files kinds readers;
  inherit (builtins)
    concatLists
    concatMap
    elem
    filter
    foldl'
    hashString
    head
    length
    match
    substring
    tail
    toString
    ;

  parts = topology.parts "containers";
  ofKind = kind: filter (part: part.kind == kind) parts;
  the = kind: head (ofKind kind);

  # A Swarm has a way of its own to start parts again, and none to keep them from new privileges.
  unknownToSwarm = [
    "restart"
    "security_opt"
  ];

  # ---- What differs from one machine --------------------------------------------------------------

  # Servers keep their data where it is: each on the machine with the label of its number.
  pinned = n: [
    {
      placement = yaml.map [
        { constraints = [ "node.labels.stockmarket.server${toString n} == true" ]; }
      ];
    }
  ];
  spread = [
    {
      placement = yaml.map [ { preferences = [ (yaml.map [ { spread = "node.id"; } ]) ]; } ];
    }
  ];
  # The next one is there before the last one goes.
  rolling = [
    {
      update_config = yaml.map [
        { parallelism = 1; }
        { order = "start-first"; }
        { failure_action = "rollback"; }
        { monitor = "15s"; }
      ];
    }
  ];
  replicas = count: [ { replicas = count; } ];

  brokers = topology.numbered topology.brokers (
    n:
    let
      name = "rabbitmq${toString n}";
    in
    the "rabbitmq"
    // {
      inherit name;
      description = "one of the brokers that share the queues";
      hostname = name;
      aliases = [ "rabbitmq" ];
      deploy = pinned n;
      environment = [ { RABBITMQ_NODENAME = "rabbit@${name}"; } ];
      # Asked for more, it would be told to nobody before all are one, and they never would be.
      health = [
        "bash"
        "-c"
        "exec 3<>/dev/tcp/127.0.0.1/25672"
      ];
      isDirect = true;
    }
  );

  members = topology.numbered topology.members (
    n:
    builtins.elemAt (ofKind "mongo") (n - 1)
    // {
      hostname = "mongo${toString n}";
      deploy = pinned n;
      # One without a primary is not to be started anew.
      health = kinds.mongo.health ++ [ "alive" ];
      isDirect = true;
    }
  );

  consumers = map (
    part:
    part
    // {
      description = "average the trades of ${part.company}: one does, the others stand by";
      deploy = replicas topology.consumers.containers ++ spread ++ rolling;
    }
  ) (filter (part: part.number == 1) (ofKind "consumer"));

  liveview = the "liveview" // {
    name = "liveview";
    description = "show the newest averages, live";
    deploy = replicas topology.liveviews ++ spread ++ rolling;
    environment = map (
      entry: if entry ? LIVEVIEW_NAME then { LIVEVIEW_NAME = "liveview-{{.Task.Slot}}"; } else entry
    ) (the "liveview").environment;
    isDirect = true;
  };

  # On each machine, so that it sees who asks.
  loadBalancer = the "nginx" // {
    deploy = [ { mode = "global"; } ];
    health = [
      "bash"
      "/health/nginx"
      (toString topology.ports.nginx.container)
      "/nginx-health"
    ];
  };

  once = the "mongo-init" // {
    deploy = [
      {
        restart_policy = yaml.map [
          { condition = "on-failure"; }
          { delay = "5s"; }
        ];
      }
    ];
  };

  services = concatLists [
    brokers
    members
    [
      once
      (the "publisher")
    ]
    consumers
    [
      liveview
      loadBalancer
    ]
  ];

  # ---- A part -------------------------------------------------------------------------------------

  # Without what holds on one machine only.
  environmentOf =
    part:
    let
      own = part.environment or [ ];
      known = map key own;
      isLocal =
        name:
        elem name (
          [
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
            "ERL_EPMD_ADDRESS"
          ]
          ++ known
        );
    in
    own ++ filter (entry: !isLocal (key entry)) (kinds.${part.kind}.environment or [ ]);

  configsOf =
    part:
    kinds.${part.kind}.configs or [ ] ++ optional (part.kind == "rabbitmq") [ "rabbitmq-cluster" ];

  filesOf = kind: concatMap (reader: optional (reader.name == kind) (map file reader.files)) readers;
  file =
    text:
    let
      renamed = match "(.*):(.*)" text;
    in
    {
      source = if renamed == null then text else head renamed;
      target = if renamed == null then text else head (tail renamed);
    };
  uidOf = kind: toString (head (filter (reader: reader.name == kind) readers)).uid;

  # `/tmp:size=16m,mode=1777` as a mount: a Swarm knows only the size.
  scratch =
    text:
    let
      words = match "([^:]*):size=([0-9]*)m.*" text;
    in
    yaml.map [
      { type = "tmpfs"; }
      { target = head words; }
      { tmpfs = yaml.map [ { size = builtins.fromJSON (head (tail words)) * 1024 * 1024; } ]; }
    ];

  network =
    part: name:
    if part ? aliases then
      { ${name} = yaml.map [ { aliases = yaml.flow part.aliases; } ]; }
    else
      { ${name} = yaml.map [ ]; };

  networksOf = part: filter (name: name != "managing") kinds.${part.kind}.networks;

  # What all parts of its kind have in common.
  common =
    part:
    let
      it = kinds.${part.kind};
      configs = configsOf part;
      secrets = filesOf part.kind;
      health = part.health or it.health or null;
    in
    [
      (merge "part")
      { inherit (it) image; }
      { inherit (it) user; }
    ]
    ++ optional (it ? entrypoint) [ { inherit (it) entrypoint; } ]
    ++ optional (health != null) [
      {
        healthcheck = yaml.map [
          { test = yaml.flow ([ "CMD" ] ++ health); }
          { interval = "5s"; }
          { timeout = "5s"; }
          { retries = 6; }
          { start_period = "300s"; }
        ];
      }
    ]
    ++ [ { networks = yaml.map (map (network part) (networksOf part)); } ]
    ++ optional (secrets != [ ]) [ { secrets = map (secret (uidOf part.kind)) secrets; } ]
    ++ optional (configs != [ ]) [ { configs = map mounted configs; } ]
    ++ [ { stop_grace_period = it.grace; } ];

  # What it alone has.
  own =
    part:
    let
      it = kinds.${part.kind};
      environment = environmentOf part;
      volumes = optional (it ? data) [ "${part.name}:${it.data}" ] ++ map scratch (it.tmpfs or [ ]);
    in
    optional (part ? hostname) [ { inherit (part) hostname; } ]
    ++ optional (environment != [ ]) [ { environment = yaml.map (map variable environment); } ]
    ++ optional (volumes != [ ]) [ { inherit volumes; } ]
    ++ optional (part.kind == "nginx") [
      {
        ports = [
          (yaml.map [
            { target = part.port.container; }
            { published = yaml.verbatim "\${${part.port.variable}:-${toString part.port.local}}"; }
            { mode = "host"; }
          ])
        ];
      }
    ]
    ++ [
      {
        deploy = yaml.map (
          optional (part ? isDirect) [ { endpoint_mode = "dnsrr"; } ]
          ++ part.deploy or [ ]
          ++ [
            {
              resources = yaml.map [
                {
                  limits = yaml.map [
                    { inherit (it) cpus; }
                    { inherit (it) memory; }
                    { inherit (it) pids; }
                  ];
                }
              ];
            }
          ]
        );
      }
    ];

  # A kind of which there are several parts is written once, and each of them refers to it.
  isShared = kind: length (filter (part: part.kind == kind) services) > 1;
  template =
    kind:
    optional (isShared kind) [
      yaml.line
      {
        "x-${kind}" = yaml.anchor kind (
          yaml.map (common (head (filter (part: part.kind == kind) services)))
        );
      }
    ];

  service = part: [
    (yaml.comment part.description)
    {
      ${part.name} = yaml.map (
        (if isShared part.kind then [ (merge part.kind) ] else common part) ++ own part
      );
    }
  ];

  variable =
    entry:
    let
      value = entry.${key entry};
    in
    {
      ${key entry} = if value ? secret then "/run/secrets/${value.secret}" else value;
    };

  secret =
    uid: file:
    yaml.map [
      { inherit (file) source; }
      { inherit (file) target; }
      { inherit uid; }
      { gid = uid; }
      { mode = yaml.verbatim "0400"; }
    ];

  mounted =
    name:
    yaml.map [
      { source = name; }
      { inherit (files.${name}) target; }
    ];

  # ---- The rest -----------------------------------------------------------------------------------

  unique = foldl' (known: name: if elem name known then known else known ++ [ name ]) [ ];
  content = path: generated.${path} or (builtins.readFile (../. + "/${path}"));
  usedFiles = unique (concatMap configsOf services);
  usedSecrets = unique (concatMap (part: map (file: file.source) (filesOf part.kind)) services);
  usedVolumes = concatMap (part: optional (kinds.${part.kind} ? data) [ part.name ]) services;
  usedNetworks = unique (concatMap networksOf services);
in
yaml.write (
  yaml.map (
    [
      (yaml.comment (import ./notice.nix))
      (yaml.comment ''
        The whole system on the machines of a Swarm: the README says how to deploy it.
      '')
      { version = "3.9"; }
      yaml.line
      {
        x-part = yaml.anchor "part" (
          yaml.map (filter (entry: !(elem (key entry) unknownToSwarm)) containers.hardening)
        );
      }
    ]
    ++ concatMap template (unique (map (part: part.kind) services))
    ++ [
      yaml.line
      { services = yaml.map (spaced (map service services)); }
      yaml.line
      (yaml.comment "Who may talk to whom, and what they say is not to be read between machines.")
      {
        networks = yaml.map (
          concatMap (
            network:
            optional (elem network.name usedNetworks) [
              (yaml.comment network.description)
              {
                ${network.name} = yaml.map (
                  [
                    { driver = "overlay"; }
                    { driver_opts = yaml.map [ { encrypted = "true"; } ]; }
                  ]
                  ++ optional (!(network ? isWayIn)) [ { internal = true; } ]
                );
              }
            ]
          ) containers.networks
        );
      }
      yaml.line
      { volumes = yaml.map (map (name: { ${name} = yaml.map [ ]; }) usedVolumes); }
      yaml.line
      (yaml.comment "Made by scripts/stack-secrets.")
      {
        secrets = yaml.map (
          map (name: { ${name} = yaml.map [ { file = "secrets/${name}"; } ]; }) usedSecrets
        );
      }
      yaml.line
      (yaml.comment "A Swarm never changes what it has under a name: another content is another name.")
      {
        configs = yaml.map (
          map (
            name:
            let
              inherit (files.${name}) path;
            in
            {
              ${name} = yaml.map [
                { name = "stockmarket-${name}-${substring 0 8 (hashString "sha256" (content path))}"; }
                { file = path; }
              ];
            }
          ) usedFiles
        );
      }
    ]
  )
)
