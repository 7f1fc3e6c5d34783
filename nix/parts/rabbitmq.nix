# The broker. In a Swarm, several that share the queues.
topology:
with import ../lib.nix;
with import ../containers;
let
  cookie = "erlang.cookie:.erlang.cookie";
  # Erlang's schedulers sleep when they have nothing to do, rather than look for work for a while: other parts
  # use the same processors.
  sleep = "+sbwt none +sbwtdcpu none +sbwtdio none";
  broker = place: {
    name = "rabbitmq";
    description = "the broker, with one queue for each company";
    port = {
      variable = "RABBITMQ_PORT";
      local = 5673;
      container = 5672;
    };
    # For other nodes.
    otherPorts = [
      {
        variable = "RABBITMQ_DIST_PORT";
        local = 25673;
      }
    ];
    needs = unless (place != "local") { epmd = "started"; };
  };
in
rec {
  parts = place: [ (broker place) ];

  process = part: {
    command = "exec scripts/run/rabbitmq";
    readiness_probe.exec.command = "exec 3<>/dev/tcp/127.0.0.1/\${${part.port.variable}}";
  };

  service =
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
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS = "${sleep} -kernel inet_dist_use_interface {127,0,0,1}";
        ERL_EPMD_ADDRESS = "127.0.0.1";
        # Erlang reads its cookie from the home folder.
        HOME = "/run/secrets";
        RABBITMQ_CONFIG_FILE = "/stockmarket/containers/rabbitmq/rabbitmq.conf";
        RABBITMQ_ENABLED_PLUGINS_FILE = "/stockmarket/containers/rabbitmq/enabled_plugins";
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
      volumes = [ "${part.name}:/var/lib/rabbitmq" ];
      configs = [
        (file "rabbitmq" "containers/rabbitmq/rabbitmq.conf")
        (file "rabbitmq-plugins" "containers/rabbitmq/enabled_plugins")
        (file "rabbitmq-health" "containers/health/rabbitmq")
      ];
      tmpfs = [ "/tmp:size=16m,mode=1777" ];
      healthcheck = check [
        "bash"
        "/stockmarket/containers/health/rabbitmq"
      ];
      mem_limit = "${toString topology.brokerMemory}m";
      cpus = "1";
      pids_limit = 500;
      # Open files. Erlang and its epmd make tables for as many as they may open, and some engines allow a
      # billion. A limit above the engine's own is an error in some.
      ulimits.nofile = 16384;
      stop_grace_period = "30s";
    };

  swarm = numbered topology.brokers (
    n:
    let
      name = "rabbitmq${toString n}";
      part = broker "containers" // {
        inherit name;
      };
    in
    {
      inherit part;
      "#" = "one of the brokers that share the queues";
      hostname = name;
      networkOptions.aliases = [ "rabbitmq" ];
      environment = {
        RABBITMQ_NODENAME = "rabbit@${name}";
        # Without what keeps other nodes out.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS = sleep;
        ERL_EPMD_ADDRESS = null;
      };
      configs = (service part).configs ++ [
        {
          source = "rabbitmq-cluster";
          path = "containers/rabbitmq/cluster.conf";
          target = "/etc/rabbitmq/conf.d/90-cluster.conf";
        }
        (file "rabbitmq-vhosts" "containers/rabbitmq/vhosts.json")
      ];
      # The part rabbitmq-init gives it the users.
      secrets = secrets // {
        files = [ cookie ];
      };
      # A stricter check would keep the brokers from finding each other: Swarm publishes the address of
      # healthy tasks only.
      test = [
        "CMD"
        "bash"
        "-c"
        "exec 3<>/dev/tcp/127.0.0.1/25672"
      ];
      deploy = pinned n;
    }
  );

  secrets = {
    uid = 999;
    files = [
      "rabbitmq-definitions.json"
      cookie
    ];
  };

  metrics = {
    job_name = "rabbitmq";
    port = 15692;
    # Trades and consumers of each queue.
    metrics_path = "/metrics/detailed";
    params.family = [
      "queue_coarse_metrics"
      "queue_consumer_count"
    ];
    basic_auth = {
      username = "monitoring";
      password_file = "/run/secrets/rabbitmq-monitoring.password";
    };
  };
}
