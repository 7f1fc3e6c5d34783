# shellcheck shell=bash
# Separates this system's RabbitMQ from any other on the machine: node name, ports, folders, cookie. For
# the server and for rabbitmqctl. What the user's environment holds for another one does not count.

for variable in "${!RABBITMQ_@}" "${!ERL_@}"; do
  [[ $variable == RABBITMQ_PORT || $variable == RABBITMQ_DIST_PORT ]] || unset "$variable"
done
unset variable

readonly rabbitmq_home=$STOCKMARKET_HOME/data/rabbitmq
export RABBITMQ_NODENAME=rabbit@localhost
export RABBITMQ_DIST_PORT ERL_EPMD_PORT=$EPMD_PORT
export RABBITMQ_CONF_ENV_FILE=/dev/null
export TERM=dumb # no colours in its log
export RABBITMQ_CONFIG_FILE=$rabbitmq_home/rabbitmq.conf
export RABBITMQ_ADVANCED_CONFIG_FILE=$rabbitmq_home/advanced.config
export RABBITMQ_ENABLED_PLUGINS_FILE=$rabbitmq_home/enabled_plugins
export RABBITMQ_MNESIA_BASE=$rabbitmq_home/mnesia
export RABBITMQ_LOG_BASE=$rabbitmq_home/log
export RABBITMQ_PID_FILE=$rabbitmq_home/rabbitmq.pid
export RABBITMQ_GENERATED_CONFIG_DIR=$rabbitmq_home/generated

# Every Erlang node of this system listens on 127.0.0.1 only, and uses this system's epmd.
export ERL_AFLAGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"

# Erlang reads its cookie from the home folder.
export HOME=$rabbitmq_home
