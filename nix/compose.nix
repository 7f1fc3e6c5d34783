# compose.yml: the topology as containers of one machine (`docker compose up`).
topology:
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
    attrNames
    concatMap
    concatStringsSep
    elem
    filter
    foldl'
    head
    length
    stringLength
    toString
    ;

  parts = topology.parts "containers" ++ containers.operatorParts;
  ofKind = kind: filter (part: part.kind == kind) parts;
  # A kind of which there are several parts is written once, and each of them refers to it.
  isShared = kind: length (ofKind kind) > 1;

  hasSecrets = kind: elem kind (map (reader: reader.name) readers);
  dataOf = part: optional (kinds.${part.kind} ? data) [ "${part.name}:${kinds.${part.kind}.data}" ];
  secretsOf = part: optional (hasSecrets part.kind) [ "secrets-${part.kind}:/run/secrets:ro" ];

  # ---- A part -------------------------------------------------------------------------------------

  # Whoever needs a part that is not ready yet waits for it by itself, however long that takes. Compose
  # would give up, and leave half of the system not started: on a slow machine for no other reason.
  conditions = {
    started = "service_started";
    ready = "service_started";
    done = "service_completed_successfully";
  };

  needs =
    part:
    map (need: { ${key need} = yaml.map [ { condition = conditions.${need.${key need}}; } ]; }) (
      optional (hasSecrets part.kind) [ { secrets = "done"; } ] ++ part.needs
    );

  # What all parts of its kind have in common.
  common =
    part:
    let
      it = kinds.${part.kind};
      depends_on = needs part;
    in
    [
      (merge "part")
      { inherit (it) image; }
      { inherit (it) user; }
    ]
    ++ optional (it ? entrypoint) [ { entrypoint = command it.entrypoint; } ]
    ++ optional (depends_on != [ ]) [ { depends_on = yaml.map depends_on; } ]
    ++ (
      if it ? health then
        [
          {
            healthcheck = yaml.map [
              { test = yaml.flow ([ "CMD" ] ++ it.health); }
              { interval = "10s"; }
              { timeout = "5s"; }
              { retries = 3; }
              { start_period = "300s"; }
              { start_interval = "2s"; }
            ];
          }
        ]
      else if part.kind == "mongo-init" then
        [ { restart = "no"; } ]
      else
        [ ]
    )
    ++ [
      {
        networks = if it ? aliases then yaml.map (map (aliased it) it.networks) else yaml.flow it.networks;
      }
    ]
    ++ optional (it ? configs) [ { configs = map mounted it.configs; } ]
    ++ optional (it ? tmpfs) [ { inherit (it) tmpfs; } ]
    ++ limits it
    ++ [ { stop_grace_period = it.grace; } ];

  aliased = it: network: { ${network} = yaml.map [ { aliases = yaml.flow it.aliases; } ]; };

  # On one line where it fits.
  command =
    words: if stringLength (concatStringsSep "    " words) < 90 then yaml.flow words else words;

  mounted =
    name:
    yaml.map [
      { source = name; }
      { inherit (files.${name}) target; }
    ];

  limits =
    it:
    [
      { mem_limit = it.memory; }
      { inherit (it) cpus; }
      { pids_limit = it.pids; }
    ]
    ++ optional (it ? files) [ { ulimits = yaml.map [ { nofile = it.files; } ]; } ];

  # What it alone has.
  own =
    part:
    let
      environment = map variable (part.environment or [ ] ++ kinds.${part.kind}.environment or [ ]);
      volumes = dataOf part ++ secretsOf part;
    in
    optional (environment != [ ]) [ { environment = yaml.map environment; } ]
    ++ optional (volumes != [ ]) [ { inherit volumes; } ]
    ++ published part;

  # The load balancer is for everybody, the operator's parts for this machine alone.
  published =
    part:
    let
      port = "\${${part.port.variable}:-${toString part.port.local}}:${toString part.port.container}";
    in
    if part.kind == "nginx" then
      [ { ports = [ port ]; } ]
    else if part ? profile && part ? port then
      [ { ports = [ "127.0.0.1:${port}" ]; } ]
    else
      [ ];

  variable =
    entry:
    let
      value = entry.${key entry};
    in
    {
      ${key entry} = if value ? secret then "/run/secrets/${value.secret}" else value;
    };

  service = part: [
    (yaml.comment part.description)
    {
      ${part.name} = yaml.map (
        optional (part ? profile) [ { profiles = yaml.flow [ part.profile ]; } ]
        ++ (if isShared part.kind then [ (merge part.kind) ] else common part)
        ++ own part
      );
    }
  ];

  template = kind: [
    yaml.line
    { "x-${kind}" = yaml.anchor kind (yaml.map (common (head (ofKind kind)))); }
  ];

  # ---- Secrets ------------------------------------------------------------------------------------

  secrets = [
    (yaml.comment ''
      makes the passwords, and gives each part its own, then ends. The one part that is root: it
      gives files to the users of the others. It has no network, and what it makes stays in volumes.
    '')
    {
      secrets = yaml.map (
        [
          (merge "part")
          { image = containers.images.mongo; }
          { user = "0:0"; }
          {
            cap_add = yaml.flow [
              "CHOWN"
              "DAC_READ_SEARCH"
            ];
          }
          { network_mode = "none"; }
          { restart = "no"; }
          {
            entrypoint = yaml.flow [
              "bash"
              "/stockmarket/secrets"
            ];
          }
          {
            command = map (
              reader: "${reader.name} ${toString reader.uid} ${concatStringsSep " " reader.files}"
            ) readers;
          }
          {
            volumes = [
              "./secrets:/own:ro"
              "secrets:/secrets"
            ]
            ++ map (reader: "secrets-${reader.name}:/for/${reader.name}") readers;
          }
          {
            configs = map mounted [
              "secrets"
              "make-secrets"
              "addresses"
            ];
          }
          {
            tmpfs = [
              "/data/db:size=1m"
              "/data/configdb:size=1m"
              "/tmp:size=1m"
            ];
          }
        ]
        ++ limits {
          memory = "64m";
          cpus = "1";
          pids = 20;
        }
      );
    }
  ];

  # ---- The rest -----------------------------------------------------------------------------------

  # Ports can be published there, but what is in it cannot begin to talk to anybody outside.
  wayIn = [
    { driver_opts = yaml.map [ { "com.docker.network.bridge.enable_ip_masquerade" = "false"; } ]; }
  ];

  usedFiles = [
    "secrets"
    "make-secrets"
    "addresses"
  ]
  ++ concatMap (part: kinds.${part.kind}.configs or [ ]) parts;

  kindsInUse = foldl' (
    known: part: if elem part.kind known then known else known ++ [ part.kind ]
  ) [ ] parts;
  volumes =
    concatMap (part: optional (kinds.${part.kind} ? data) [ part.name ]) parts
    ++ [ "secrets" ]
    ++ map (reader: "secrets-${reader.name}") readers;
in
yaml.write (
  yaml.map (
    [
      (yaml.comment (import ./notice.nix))
      (yaml.comment "The whole system in containers: `docker compose up`. The README says how to use it.")
      { name = "stockmarket"; }
      yaml.line
      (yaml.comment ''
        What every part is held to. Its files are its image's and cannot be changed; where it has to
        write, it says so.
      '')
      {
        x-part = yaml.anchor "part" (yaml.map containers.hardening);
      }
    ]
    ++ concatMap template (filter isShared kindsInUse)
    ++ [
      yaml.line
      { services = yaml.map (spaced ([ secrets ] ++ map service parts)); }
      yaml.line
      (yaml.comment "Who may talk to whom: parts that share none of these cannot reach each other.")
      {
        networks = yaml.map (
          concatMap (network: [
            (yaml.comment network.description)
            { ${network.name} = yaml.map (if network ? isWayIn then wayIn else [ { internal = true; } ]); }
          ]) containers.networks
        );
      }
      yaml.line
      { volumes = yaml.map (map (name: { ${name} = yaml.map [ ]; }) volumes); }
      yaml.line
      {
        configs = yaml.map (
          map (name: { ${name} = yaml.map [ { file = files.${name}.path; } ]; }) (
            filter (name: elem name usedFiles) (attrNames files)
          )
        );
      }
    ]
  )
)
