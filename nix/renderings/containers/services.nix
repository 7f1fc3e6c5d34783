# The containers as Compose services: part -> service, for each kind of part. compose.nix adds what the
# topology says of a part; stack.nix derives a Swarm's services from them.
topology:
with builtins;
let
  images = import ./images.nix;
  files = import ./files.nix;

  # Every service: files of the image cannot be changed, and no capability or privilege can be gained.
  hardened = {
    restart = "unless-stopped";
    read_only = true;
    cap_drop = [ "ALL" ];
    security_opt = [ "no-new-privileges:true" ];
    logging = {
      driver = "json-file";
      options = {
        max-size = "10m";
        max-file = "3";
      };
    };
  };

  # The user of our own images.
  nobody = "10001:10001";

  check = test: {
    test = [ "CMD" ] ++ test;
    interval = "10s";
    timeout = "5s";
    retries = 3;
    start_period = "300s";
    start_interval = "2s";
  };

  mount = map (name: {
    source = name;
    inherit (files.${name}) target;
  });

  # A volume with the secrets of a kind of part.
  secretsOf = kind: "secrets-${kind}:/run/secrets:ro";

  members = concatStringsSep "," (
    map (part: "${part.name}:${toString part.port.container}") (
      filter (part: part.kind == "mongo") (topology.parts "containers")
    )
  );
in
{
  inherit hardened mount;

  kinds = {
    rabbitmq =
      part:
      hardened
      // {
        image = images.rabbitmq;
        user = "999:999";
        entrypoint = "rabbitmq-server";
        environment = {
          # Its data belongs to this node name, which must not change with the container's name.
          RABBITMQ_NODENAME = "rabbit@localhost";
          # No other node can connect.
          RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS = "-kernel inet_dist_use_interface {127,0,0,1}";
          ERL_EPMD_ADDRESS = "127.0.0.1";
          # Erlang reads its cookie from the home folder.
          HOME = "/run/secrets";
          RABBITMQ_CONFIG_FILE = "/etc/rabbitmq/rabbitmq.conf";
          RABBITMQ_ENABLED_PLUGINS_FILE = "/etc/rabbitmq/enabled_plugins";
          RABBITMQ_MNESIA_BASE = "/var/lib/rabbitmq/mnesia";
          RABBITMQ_GENERATED_CONFIG_DIR = "/tmp/rabbitmq";
          RABBITMQ_PID_FILE = "/tmp/rabbitmq.pid";
          # The start script becomes the server, so that signals reach it.
          RUNNING_UNDER_SYSTEMD = "true";
        };
        networks = [
          "publishing"
          "consuming"
          "managing"
        ];
        volumes = [
          "${part.name}:/var/lib/rabbitmq"
          (secretsOf "rabbitmq")
        ];
        configs = mount [
          "rabbitmq"
          "rabbitmq-plugins"
          "rabbitmq-health"
        ];
        tmpfs = [ "/tmp:size=16m,mode=1777" ];
        healthcheck = check [
          "bash"
          "/health/rabbitmq"
        ];
        mem_limit = "1g";
        cpus = "1";
        pids_limit = 500;
        stop_grace_period = "30s";
      };

    mongo =
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
        volumes = [
          "${part.name}:/data/db"
          (secretsOf "mongo")
        ];
        configs = mount [ "mongo-health" ];
        tmpfs = [
          "/tmp:size=16m,mode=1777"
          # Instead of the anonymous volume that the image declares.
          "/data/configdb:size=1m,mode=1777"
        ];
        healthcheck = check [
          "bash"
          "/health/mongo"
        ];
        mem_limit = "1g";
        cpus = "1";
        pids_limit = 1000;
        stop_grace_period = "20s";
      };

    mongo-init =
      _:
      hardened
      // {
        image = images.ours "stock-liveview";
        user = nobody;
        entrypoint = "/bin/node /stockmarket/mongo-init.mjs";
        environment = {
          MONGODB_MEMBERS = members;
          SECRETS = "/run/secrets";
          LIVEVIEW = "/app";
        };
        networks = [ "storing" ];
        volumes = [ (secretsOf "mongo-init") ];
        configs = mount [ "mongo-init" ];
        restart = "no";
        mem_limit = "256m";
        cpus = "1";
        pids_limit = 50;
        stop_grace_period = "2s";
      };

    publisher =
      _:
      hardened
      // {
        image = images.ours "stock-publisher";
        user = nobody;
        networks = [ "publishing" ];
        volumes = [ (secretsOf "publisher") ];
        healthcheck = check [
          "/bin/stock-publisher"
          "healthcheck"
        ];
        mem_limit = "256m";
        cpus = "1";
        pids_limit = 200;
        stop_grace_period = "10s";
      };

    consumer =
      _:
      hardened
      // {
        image = images.ours "stock-consumer";
        user = nobody;
        networks = [
          "consuming"
          "storing"
        ];
        volumes = [ (secretsOf "consumer") ];
        healthcheck = check [
          "/bin/stock-consumer"
          "healthcheck"
        ];
        mem_limit = "256m";
        cpus = "1";
        pids_limit = 200;
        stop_grace_period = "10s";
      };

    liveview =
      _:
      hardened
      // {
        image = images.ours "stock-liveview";
        user = nobody;
        # The load balancer knows all live views by one name.
        networks = {
          reading.aliases = [ "liveview" ];
          web.aliases = [ "liveview" ];
        };
        volumes = [ (secretsOf "liveview") ];
        healthcheck = check [
          "/bin/node"
          "/app/app.js"
          "healthcheck"
        ];
        mem_limit = "512m";
        cpus = "1";
        pids_limit = 100;
        stop_grace_period = "10s";
      };

    nginx =
      part:
      hardened
      // {
        image = images.nginx;
        user = "101:101";
        entrypoint = "nginx -e stderr -p /run/nginx -c /etc/nginx/nginx.conf";
        ports = [ "\${NGINX_PORT:-${toString part.port.local}}:${toString part.port.container}" ];
        networks = [
          "edge"
          "web"
        ];
        configs = mount [
          "nginx"
          "nginx-core"
          "nginx-site"
          "nginx-health"
        ];
        tmpfs = [
          # Owned by its user: at a restart some engines forget the mode.
          "/run/nginx:size=1m,mode=0755,uid=101,gid=101"
          "/run/nginx/tmp:size=64m,mode=0755,uid=101,gid=101"
        ];
        healthcheck = check [
          "bash"
          "/health/nginx"
          (toString part.port.container)
          "/"
        ];
        mem_limit = "256m";
        cpus = "1";
        pids_limit = 100;
        stop_grace_period = "5s";
      };
  };
}
