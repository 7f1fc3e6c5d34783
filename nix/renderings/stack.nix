# stack.yml: the system on the machines of a Swarm (`docker stack deploy`). Its services are those of
# compose.yml, changed where several machines or Swarm need it. `generated` are the other rendered files:
# Swarm's configs are named after their content.
topology: generated:
with builtins;
with import ../lib.nix;
let
  networks = import ../containers/networks.nix;

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
      tmpfs.size = fromJSON (elemAt words 1) * 1024 * 1024;
    };

  # `FILE` or `FILE:AS` as a secret of this user.
  secretFile =
    uid: text:
    let
      renamed = match "(.*):(.*)" text;
    in
    {
      source = if renamed == null then text else head renamed;
      target = if renamed == null then text else elemAt renamed 1;
      uid = toString uid;
      gid = toString uid;
      mode = 256; # 0400
    };

  # Swarm restarts and limits services in its own way, does not order their starts, and cannot forbid new
  # privileges.
  unknown = [
    "extends"
    "restart"
    "security_opt"
    "depends_on"
    "tmpfs"
    "ports"
    "mem_limit"
    "cpus"
    "pids_limit"
  ];

  # The service of a part, with the changes that its kind says: keys of the service, and `test` of its
  # health check, `networkOptions` of each of its networks, `environment` beside its own, `secrets` instead
  # of the kind's.
  service =
    kind:
    { part, ... }@changes:
    let
      it = kind.service part;
      environment = filterNulls (
        it.environment or { }
        // resolve "/run/secrets" (part.environment or { })
        // changes.environment or { }
      );
      filterNulls = set: removeAttrs set (filter (name: set.${name} == null) (attrNames set));
      volumes = it.volumes or [ ] ++ map scratch (it.tmpfs or [ ]);
      given = changes.secrets or kind.secrets or null;
      networkNames = if isList it.networks then it.networks else attrNames it.networks;
    in
    removeAttrs it unknown
    // removeAttrs changes [
      "part"
      "networkOptions"
      "secrets"
      "test"
    ]
    // unless (environment == { }) { inherit environment; }
    // unless (volumes == [ ]) { inherit volumes; }
    // unless (given == null) { secrets = map (secretFile given.uid) given.files; }
    // {
      "#" = changes."#" or part.description;
      networks = each (filter (name: name != "managing") networkNames) (changes.networkOptions or { });
      deploy = changes.deploy or { } // {
        resources.limits = {
          memory = it.mem_limit;
          # With CPUS=0 there is no limit, as in compose.yml.
          cpus = "\${CPUS:-${it.cpus}}";
          pids = it.pids_limit;
        };
      };
    }
    // unless (!(it ? healthcheck)) {
      # A Swarm replaces a task that fails this check. So it asks whether the part answers: waiting for
      # another part is no failure. Our programs also fail it until they are ready for the first time.
      # So an update waits for that, and is rolled back if it does not happen.
      healthcheck = {
        test = changes.test or it.healthcheck.test;
        interval = "5s";
        timeout = "5s";
        retries = 6;
        start_period = "300s";
      };
    };

  services = listToAttrs (
    concatMap (
      kind:
      map (changes: {
        inherit (changes.part) name;
        value = service kind changes;
      }) (kind.swarm or [ ])
    ) (attrValues topology.kinds)
  );

  # A network between machines.
  encrypted =
    network:
    network
    // {
      driver = "overlay";
      driver_opts.encrypted = "true";
    };

  # ---- What the services use -----------------------------------------------------------------------

  all = f: concatMap f (attrValues services);
  networkNames = all (service: attrNames service.networks);
  volumeNames = concatMap (match "([^:]*):.*") (
    filter isString (all (service: service.volumes or [ ]))
  );
  secretNames = map (secret: secret.source) (all (service: service.secrets or [ ]));
  # The variable with a secret's version; scripts/stack-secrets sets it. `docker stack deploy` takes what
  # follows a hyphen in the message for a default.
  versionOf = name: "${uppercase (replaceStrings [ "." "-" ] [ "_" "_" ] name)}_VERSION";
  configs = all (service: service.configs or [ ]);
  content = path: generated.${path} or (readFile (../.. + "/${path}"));
in
import ./yaml.nix
  ''
    ${import ./notice.nix}
    The whole system on the machines of a Swarm:

      NAMESPACE=somebody scripts/stack-secrets docker stack deploy --compose-file stack.yml stockmarket

    docs/several-machines.md says more.''
  {
    version = "3.9";
    services = mapAttrs (
      _: service:
      service
      // unless (!(service ? configs)) {
        configs = map (config: removeAttrs config [ "path" ]) service.configs;
      }
    ) services;
    networks =
      mapAttrs (_: encrypted) (
        removeAttrs networks (filter (name: !(elem name networkNames)) (attrNames networks))
      )
      // {
        "#" = "Who may talk to whom. What they say between machines is encrypted.";
        edge = encrypted {
          "#" =
            "load balancer: connections from outside; in a Swarm it can open connections to the outside, too";
        };
      };
    volumes = each volumeNames { };
    secrets =
      eachIs secretNames (name: {
        name = "stockmarket-${name}-\${${versionOf name}:?deploy as the top of stack.yml says}";
        file = "secrets/${name}";
      })
      // {
        "#" = "Made by scripts/stack-secrets, which also gives the versions: hashes of the contents.";
      };
    configs =
      listToAttrs (
        map (config: {
          name = config.source;
          value = {
            name = "stockmarket-${config.source}-${substring 0 8 (hashString "sha256" (content config.path))}";
            file = config.path;
          };
        }) configs
      )
      // {
        "#" = "Swarm never changes a config or a secret: another content gets another name.";
      };
  }
