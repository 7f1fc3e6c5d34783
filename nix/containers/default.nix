# What the containers share.
{
  images = import ./images.nix;

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

  # check COMMAND: a health check.
  check = command: {
    test = [ "CMD" ] ++ command;
    interval = "10s";
    timeout = "5s";
    retries = 3;
    start_period = "300s";
    start_interval = "2s";
  };

  # file NAME PATH TARGET: a file of this repository that the container mounts.
  file = source: path: target: { inherit source path target; };

  # ---- In a Swarm ----------------------------------------------------------------------------------

  # Servers keep their data on one machine: the one with the label of their number.
  pinned = n: {
    endpoint_mode = "dnsrr";
    placement.constraints = [ "node.labels.stockmarket.server${toString n} == true" ];
  };

  # The next task is healthy before the last one ends.
  rolling = replicas: {
    inherit replicas;
    placement.preferences = [ { spread = "node.id"; } ];
    update_config = {
      parallelism = 1;
      order = "start-first";
      failure_action = "rollback";
      monitor = "15s";
    };
  };
}
