# Makes the passwords in containers, and hands out the files of this repository. On this machine,
# scripts/secrets makes the passwords; for a Swarm, scripts/stack-secrets, and a Swarm hands out files.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  readers = filter (kind: topology.kinds.${kind} ? secrets) (attrNames topology.kinds);
  # For scripts/make-secrets.sh: the kind, its user, its files.
  words =
    kind:
    let
      inherit (topology.kinds.${kind}.secrets) uid files;
    in
    concatStringsSep " " (
      [
        kind
        (toString uid)
      ]
      ++ files
    );

  others = filter (kind: kind != "secrets" && topology.kinds.${kind} ? service) (
    attrNames topology.kinds
  );
  # The files that the other parts read.
  files = concatMap (part: (topology.kinds.${part.kind}.service part).configs or [ ]) (
    concatMap (kind: topology.partsOf kind "containers") others
  );
  # As this clone has them. Compose mounts them with the clone's modes: only root can read all.
  fromClone = config: config // { target = "/clone/${config.path}"; };
in
{
  parts = onlyIn "containers" [
    {
      name = "secrets";
      description = ''
        makes the passwords, gives each part its own and the files that it reads, then ends. It is the
        only part that runs as root: it reads this clone's files, whichever modes they have, and gives
        files to the other parts' users. It has no network, and its output stays in volumes.'';
    }
  ];

  service =
    _:
    hardened
    // {
      image = images.mongo;
      user = "0:0";
      cap_add = [
        "CHOWN"
        "DAC_READ_SEARCH"
      ];
      network_mode = "none";
      restart = "no";
      entrypoint = "bash /clone/containers/secrets";
      command = map words readers;
      volumes = [
        "./secrets:/own:ro"
        "secrets:/secrets"
        "files:/stockmarket"
      ]
      ++ map (kind: "secrets-${kind}:/for/${kind}") readers;
      configs = map fromClone (
        [
          (file "secrets" "containers/secrets")
          (file "make-secrets" "scripts/make-secrets.sh")
          (file "addresses" "containers/addresses")
        ]
        ++ unique files
      );
      tmpfs = [
        "/data/db:size=1m"
        "/data/configdb:size=1m"
        "/tmp:size=1m"
      ];
      mem_limit = "64m";
      cpus = "1";
      pids_limit = 20;
    };
}
