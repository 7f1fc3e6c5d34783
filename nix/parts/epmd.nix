# The name service of RabbitMQ's Erlang, apart from the machine's. Containers have one inside.
_: with import ../lib.nix; {
  parts = onlyIn "local" [
    {
      name = "epmd";
      description = "the name service of RabbitMQ's Erlang";
      port = {
        variable = "EPMD_PORT";
        local = 4370;
      };
    }
  ];

  process = _: { command = "exec scripts/run/epmd"; };
}
