# compose.yml: the system as containers of one machine (`docker compose up`).
topology:
with builtins;
let
  yaml = import ./yaml.nix;
  notice = import ./notice.nix;
  images = import ./containers/images.nix;
  files = import ./containers/files.nix;
  networks = import ./containers/networks.nix;
  secrets = import ./containers/secrets.nix;
  inherit (import ./containers/services.nix topology) hardened kinds mount;
  operator = import ./containers/operator.nix topology;

  # A part that needs another one waits for it by itself, however long that takes. Compose would give up
  # and leave half of the system stopped. So only what must have ended is awaited.
  conditions = {
    started = "service_started";
    ready = "service_started";
    done = "service_completed_successfully";
  };
  needs = part: (if secrets ? ${part.kind} then { secrets = "done"; } else { }) // part.needs or { };

  # A Compose service of its kind, with what the topology says of this part.
  service =
    part:
    let
      it = kinds.${part.kind} part;
      depends_on = mapAttrs (_: need: { condition = conditions.${need}; }) (needs part);
      environment =
        it.environment or { }
        // mapAttrs (_: value: if isAttrs value then "/run/secrets/${value.secret}" else value) (
          part.environment or { }
        );
    in
    it
    // (if depends_on == { } then { } else { inherit depends_on; })
    // (if environment == { } then { } else { inherit environment; })
    // {
      "#" = part.description;
    };

  services =
    listToAttrs (
      map (part: {
        inherit (part) name;
        value = service part;
      }) (topology.parts "containers")
    )
    // operator;

  makeSecrets = hardened // {
    "#" = ''
      makes the passwords, gives each part its own, then ends. It is the only part that runs as root:
      it gives files to the other parts' users. It has no network, and its output stays in volumes.'';
    image = images.mongo;
    user = "0:0";
    cap_add = [
      "CHOWN"
      "DAC_READ_SEARCH"
    ];
    network_mode = "none";
    restart = "no";
    entrypoint = "bash /stockmarket/secrets";
    command = map (
      kind:
      concatStringsSep " " (
        [
          kind
          (toString secrets.${kind}.uid)
        ]
        ++ secrets.${kind}.files
      )
    ) (attrNames secrets);
    volumes = [
      "./secrets:/own:ro"
      "secrets:/secrets"
    ]
    ++ map (kind: "secrets-${kind}:/for/${kind}") (attrNames secrets);
    configs = mount [
      "secrets"
      "make-secrets"
      "addresses"
    ];
    tmpfs = [
      "/data/db:size=1m"
      "/data/configdb:size=1m"
      "/tmp:size=1m"
    ];
    mem_limit = "64m";
    cpus = "1";
    pids_limit = 20;
  };

  all = services // {
    secrets = makeSecrets;
  };
  each = f: concatMap f (attrValues all);
  volumeNames = each (
    service:
    concatMap (match "([^./][^:]*):.*") (
      filter (volume: match "[^./].*" volume != null) (service.volumes or [ ])
    )
  );
  fileNames = each (service: map (config: config.source) (service.configs or [ ]));
in
yaml
  ''
    ${notice}
    The whole system in containers: `docker compose up`. docs/containers.md says more.''
  {
    name = "stockmarket";
    services = all;
    networks = networks // {
      "#" = "Who may talk to whom: parts that share none of these networks cannot reach each other.";
    };
    volumes = listToAttrs (
      map (name: {
        inherit name;
        value = { };
      }) volumeNames
    );
    configs = mapAttrs (_: file: { inherit (file) file; }) (
      listToAttrs (
        map (name: {
          inherit name;
          value = files.${name};
        }) fileNames
      )
    );
  }
