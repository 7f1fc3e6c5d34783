# In a Swarm: gives the running brokers their users, then ends. A Swarm hands a changed password only to a
# new container. So a broker that had them itself would start again, and all brokers at once.
topology:
with import ../lib.nix;
with import ../containers;
let
  script = "containers/rabbitmq/init";
in
{
  parts = _: [ ];

  service =
    _:
    hardened
    // {
      image = images.rabbitmq;
      user = "999:999";
      entrypoint = [
        "bash"
        "/stockmarket/${script}"
      ]
      ++ numbered topology.brokers (n: "rabbitmq${toString n}");
      # Erlang reads its cookie from the home folder.
      environment.HOME = "/run/secrets";
      networks = [ "consuming" ];
      configs = [ (file "rabbitmq-init" script) ];
      tmpfs = [ "/tmp:size=16m,mode=1777" ];
      mem_limit = "512m";
      cpus = "1";
      pids_limit = 200;
      ulimits.nofile = 16384;
      stop_grace_period = "2s";
    };

  swarm = [
    {
      part = {
        name = "rabbitmq-init";
        description = "gives the brokers their users, then ends";
      };
      secrets = {
        uid = 999;
        files = [
          "rabbitmq-definitions.json"
          "erlang.cookie:.erlang.cookie"
        ];
      };
      deploy.restart_policy = {
        condition = "on-failure";
        delay = "5s";
      };
    }
  ];
}
