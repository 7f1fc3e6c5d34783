# Makes the members a replica set with users, then ends.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  init = {
    name = "mongo-init";
    description = "makes the members a replica set with users, then ends";
    needs = each (map (part: part.name) (topology.partsOf "mongo" "local")) "started";
  };
in
{
  parts = _: [ init ];

  process = _: {
    command = "exec scripts/mongo-init";
    availability.restart = "on_failure";
  };

  service =
    _:
    hardened
    // built "stock-liveview"
    // {
      user = nobody;
      entrypoint = "/bin/node /stockmarket/scripts/mongo-init.mjs";
      environment = {
        MONGODB_MEMBERS = concatStringsSep "," (topology.addresses "mongo");
        SECRETS = "/run/secrets";
        LIVEVIEW = "/app";
      };
      networks = [ "storing" ];
      configs = [ (file "mongo-init" "scripts/mongo-init.mjs") ];
      restart = "no";
      mem_limit = "256m";
      cpus = "1";
      pids_limit = 50;
      stop_grace_period = "2s";
    };

  swarm = [
    (
      {
        part = init;
        deploy.restart_policy = {
          condition = "on-failure";
          delay = "5s";
        };
      }
      // images.oursNamed "stock-liveview"
    )
  ];

  secrets = {
    uid = 10001;
    files = [
      "mongodb.key"
      "mongodb-consumer.password"
      "mongodb-liveview.password"
      "mongodb-monitoring.password"
    ];
  };
}
