# What the containers share.
rec {
  images = import ./images.nix;

  # ours PROGRAM: the image of one of our programs. containers/ours.yml says where it comes from.
  ours = program: {
    image = images.ours program;
    extends = fromOurs "image";
  };

  # built PROGRAM: the same, of the one service for which Compose builds it.
  built = program: ours program // { extends = fromOurs program; };

  fromOurs = service: {
    file = "containers/ours\${NAMESPACE:+-published}.yml";
    inherit service;
  };

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

  # file NAME PATH: a file of this repository, as a config of that name. In the container it is below
  # /stockmarket.
  file = source: path: {
    inherit source path;
    target = "/stockmarket/${path}";
  };

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
