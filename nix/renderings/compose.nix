# compose.yml: the system as containers of one machine (`docker compose up`).
topology:
with builtins;
with import ../lib.nix;
let
  networks = import ../containers/networks.nix;

  # A part that needs another one waits for it by itself, however long that takes. Compose would give up
  # and leave half of the system stopped. So only what must have ended is awaited.
  conditions = {
    started = "service_started";
    ready = "service_started";
    done = "service_completed_successfully";
  };

  # A service of its kind, with what the topology says of this part.
  service =
    part:
    let
      kind = topology.kinds.${part.kind};
      it = kind.service part;
      # The part `secrets` hands out passwords and files.
      isGiven = it ? configs && part.kind != "secrets";
      needs = unless (!(kind ? secrets || isGiven)) { secrets = "done"; } // part.needs or { };
      environment = it.environment or { } // resolve "/run/secrets" (part.environment or { });
      volumes =
        it.volumes or [ ]
        ++ (if kind ? secrets then [ "secrets-${part.kind}:/run/secrets:ro" ] else [ ])
        ++ (if isGiven then [ "files:/stockmarket:ro" ] else [ ]);
    in
    removeAttrs it [ "configs" ]
    // unless (needs == { }) {
      depends_on = mapAttrs (_: need: { condition = conditions.${need}; }) needs;
    }
    // unless (environment == { }) { inherit environment; }
    // unless (volumes == [ ]) { inherit volumes; }
    // unless (part.kind != "secrets") {
      configs = map (config: removeAttrs config [ "path" ]) it.configs;
    }
    # With CPUS=0 there is no limit: an engine without CPU quota takes none.
    // unless (!(it ? cpus)) { cpus = "\${CPUS:-${it.cpus}}"; }
    // {
      "#" = part.description;
    };

  parts = filter (part: topology.kinds.${part.kind} ? service) (topology.parts "containers");
  services = listToAttrs (
    map (part: {
      inherit (part) name;
      value = service part;
    }) parts
  );

  # A volume that does not begin with a path.
  volumeNames = concatMap (match "([^:]*):.*") (
    filter (volume: match "[./].*" volume == null) (
      concatMap (service: service.volumes or [ ]) (attrValues services)
    )
  );
  inherit (topology.kinds.secrets.service { }) configs;
in
import ./yaml.nix
  ''
    ${import ./notice.nix}
    The whole system in containers: `docker compose up`. docs/containers.md says more.''
  {
    name = "stockmarket";
    inherit services;
    networks = networks // {
      "#" = "Who may talk to whom: parts that share none of these networks cannot reach each other.";
    };
    volumes = each volumeNames { };
    configs = listToAttrs (
      map (config: {
        name = config.source;
        value.file = config.path;
      }) configs
    );
  }
