# The images of all containers.
{
  # One of our programs: an image of the namespace that NAMESPACE names, else one that this machine has
  # built.
  ours = program: "\${NAMESPACE:-stockmarket}/${program}:\${TAG:-latest}";

  # One of the originals, which only `nix run .#load` builds.
  original = program: "stockmarket/${program}-original:latest";

  # In a Swarm, whose machines pull it: nothing of ours comes from a namespace that nobody named. Of a
  # string with two variables, `docker stack deploy` reports only the last one as missing. So the
  # namespace also stands alone.
  oursNamed =
    name:
    let
      namespace = "\${NAMESPACE:?set NAMESPACE to the Docker Hub namespace of our images}";
    in
    {
      image = "${namespace}/${name}:\${TAG:-latest}";
      x-namespace = namespace;
    };

  rabbitmq = "rabbitmq:4.3-management";
  mongo = "mongo:8.0";
  nginx = "nginx:1.30";
  prometheus = "prom/prometheus:v3.13.2";
  grafana = "grafana/grafana:13.1.2";
}
