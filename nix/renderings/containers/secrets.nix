# Which secrets each kind of part reads, as files of its user. FILE:AS is a file under another name.
{
  rabbitmq = {
    uid = 999;
    files = [
      "rabbitmq-definitions.json"
      "erlang.cookie:.erlang.cookie"
    ];
  };
  mongo = {
    uid = 999;
    files = [ "mongodb.key" ];
  };
  mongo-init = {
    uid = 10001;
    files = [
      "mongodb.key"
      "mongodb-consumer.password"
      "mongodb-liveview.password"
      "mongodb-monitoring.password"
    ];
  };
  publisher = {
    uid = 10001;
    files = [ "rabbitmq-publisher.url" ];
  };
  consumer = {
    uid = 10001;
    files = [
      "rabbitmq-consumer.url"
      "mongodb-consumer.url"
    ];
  };
  liveview = {
    uid = 10001;
    files = [ "mongodb-liveview.url" ];
  };
  mongo-metrics = {
    uid = 10001;
    files = [ "mongodb-monitoring.url" ];
  };
  prometheus = {
    uid = 65534;
    files = [ "rabbitmq-monitoring.password" ];
  };
  grafana = {
    uid = 472;
    files = [ "grafana-admin.password" ];
  };
}
