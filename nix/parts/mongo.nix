# The members of the replica set.
topology:
with import ../lib.nix;
with import ../containers;
let
  members = numbered topology.members (n: {
    name = "mongo${toString n}";
    description = "a member of the replica set rs0";
    port = {
      variable = "MONGO${toString n}_PORT";
      local = 27117 + n - 1;
      container = 27017;
    };
    number = n;
  });
in
rec {
  parts = _: members;

  process = part: {
    command = "exec scripts/run/mongod ${part.name}";
    readiness_probe.exec.command = "exec 3<>/dev/tcp/127.0.0.1/\${${part.port.variable}}";
  };

  service =
    part:
    hardened
    // {
      image = images.mongo;
      user = "999:999";
      entrypoint = [
        "mongod"
        "--replSet=rs0"
        "--bind_ip_all"
        "--nounixsocket"
        "--dbpath=/data/db"
        "--auth"
        "--keyFile=/run/secrets/mongodb.key"
        # Small caches: the members share a machine with everything else.
        "--wiredTigerCacheSizeGB=0.25"
        "--oplogSize=256"
        "--quiet"
        "--setParameter=diagnosticDataCollectionEnabled=false"
        "--setParameter=shutdownTimeoutMillisForSignaledShutdown=1000"
      ];
      networks = [
        "storing"
        "reading"
      ];
      volumes = [ "${part.name}:/data/db" ];
      configs = [ (file "mongo-health" "containers/health/mongo") ];
      tmpfs = [
        "/tmp:size=16m,mode=1777"
        # Instead of the anonymous volume that the image declares.
        "/data/configdb:size=1m,mode=1777"
      ];
      healthcheck = check [
        "bash"
        "/stockmarket/containers/health/mongo"
      ];
      mem_limit = "1g";
      cpus = "1";
      pids_limit = 1000;
      stop_grace_period = "20s";
    };

  swarm = map (part: {
    inherit part;
    hostname = part.name;
    # A member without a primary is not to be restarted.
    test = (service part).healthcheck.test ++ [ "alive" ];
    deploy = pinned part.number;
  }) members;

  secrets = {
    uid = 999;
    files = [ "mongodb.key" ];
  };
}
