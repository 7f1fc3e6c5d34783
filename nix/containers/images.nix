# The images of all containers. Ours come from the namespace that NAMESPACE names.
{
  ours = name: "\${NAMESPACE:-stockmarket}/${name}:\${TAG:-latest}";

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
