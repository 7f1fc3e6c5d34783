# containers/rabbitmq/rabbitmq.conf: the configuration of the broker in containers.
topology: ''
  # ${import ./notice.nix}
  # The broker in containers. The definitions contain the users and their permissions: no guest, no administrator.
  load_definitions = /run/secrets/rabbitmq-definitions.json

  # The original publisher declares transient, non-exclusive queues.
  deprecated_features.permit.transient_nonexcl_queues = true

  # A consumer acknowledges trades only when their window is full. With the default of 30 minutes the broker would close
  # the channel of a slow company's consumer.
  consumer_timeout = 31536000000

  # Of the container's memory: the rest is for the page cache. Above it the broker blocks publishers.
  vm_memory_high_watermark.absolute = ${toString (topology.brokerMemory * 6 / 10)}MiB
  disk_free_limit.absolute = 200MiB
  # Quorum queues keep the newest file of their log in memory.
  raft.wal_max_size_bytes = 67108864

  log.console = true
  log.console.level = warning
  log.console.formatter = json
  log.file = false

  # The management page needs it for its numbers.
  deprecated_features.permit.management_metrics_collection = true
  # Only the user `monitoring` can read metrics.
  prometheus.authentication.enabled = true
''
