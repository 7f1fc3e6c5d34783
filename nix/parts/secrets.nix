# Makes the passwords in containers. On this machine, scripts/secrets does; for a Swarm,
# scripts/stack-secrets.
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
in
{
  parts = onlyIn "containers" [
    {
      name = "secrets";
      description = ''
        makes the passwords, gives each part its own, then ends. It is the only part that runs as root:
        it gives files to the other parts' users. It has no network, and its output stays in volumes.'';
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
      entrypoint = "bash /stockmarket/secrets";
      command = map words readers;
      volumes = [
        "./secrets:/own:ro"
        "secrets:/secrets"
      ]
      ++ map (kind: "secrets-${kind}:/for/${kind}") readers;
      configs = [
        (file "secrets" "containers/secrets" "/stockmarket/secrets")
        (file "make-secrets" "scripts/make-secrets.sh" "/stockmarket/make-secrets.sh")
        (file "addresses" "containers/addresses" "/stockmarket/addresses")
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
}
