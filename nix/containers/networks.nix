# Who may talk to whom: parts that share none of these networks cannot reach each other.
let
  internal = {
    internal = true;
  };
  # Its ports can be published, but a container in it cannot open connections to the outside.
  wayIn = {
    driver_opts."com.docker.network.bridge.enable_ip_masquerade" = "false";
  };
in
{
  publishing = internal // {
    "#" = "publisher, broker";
  };
  consuming = internal // {
    "#" = "broker, consumers";
  };
  storing = internal // {
    "#" = "consumers, members of the replica set";
  };
  reading = internal // {
    "#" = "members of the replica set, live views";
  };
  web = internal // {
    "#" = "live views, load balancer";
  };
  edge = wayIn // {
    "#" = "load balancer: connections from outside, none to the outside";
  };
  monitoring = internal // {
    "#" = "Prometheus, Grafana, the replica set's metrics";
  };
  managing = internal // {
    "#" = "broker, the door to its management page";
  };
  desk = wayIn // {
    "#" = "the operator's pages: connections from this machine, none to the outside";
  };
}
