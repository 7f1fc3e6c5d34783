# shellcheck shell=bash disable=SC2154 # the sourcing script sets the variables below
# Makes the passwords, once, and the files from which programs read them, every time, because addresses
# may have changed. No password has a default. Sourced by scripts/secrets, scripts/stack-secrets and
# containers/secrets, which set:
#
#   secrets            the folder; only its owner can read the files
#   rabbitmq_address   host:port
#   rabbitmq_users     the broker's users
#   mongodb_members    host:port,host:port,…
#   mongodb_users      the database's users

umask 077
mkdir -p "$secrets"

# replace FILE: writes its input to a secret's file, in one step. An interrupted run may have left a
# part of it, which this user may be unable to write.
replace() {
  rm -f "$secrets/$1.new"
  cat >"$secrets/$1.new" && mv -f "$secrets/$1.new" "$secrets/$1"
}

# Hexadecimal, so that it needs no escaping in a URL, in JSON or in a shell.
random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# once FILE BYTES: makes a random secret, unless the file exists.
once() { [[ -s $secrets/$1 ]] || random_hex "$2" | replace "$1"; }

password_of() { cat "$secrets/$1.password"; }

rabbitmq_url() { printf 'amqp://%s:%s@%s/%%2f' "$1" "$(password_of "rabbitmq-$1")" "$rabbitmq_address"; }
mongodb_url() {
  printf 'mongodb://%s:%s@%s/?replicaSet=rs0&authSource=admin' "$1" "$(password_of "mongodb-$1")" "$mongodb_members"
}

# Each user of the broker may do only what its work needs. Permissions are patterns of the names of
# queues and exchanges to configure, write to and read from. amq.default is the default exchange. A
# queue's name is its company's symbol: 1 to 32 letters, digits and . - _ ^ = / :, not beginning with
# amq., not ending in .rejected. Backslashes are doubled for JSON.
rabbitmq_tag() {
  case $1 in
    admin) printf administrator ;;
    monitoring) printf monitoring ;;
  esac
}
rabbitmq_permissions() {
  local symbol='(?!amq\\.)[A-Za-z0-9._^=/:-]{1,32}(?<!\\.rejected)'
  local company_queue=^$symbol$ rejected_queue=^$symbol'\\.rejected$' default='^amq\\.default$'
  local format='"configure":"%s","write":"%s","read":"%s"'
  # shellcheck disable=SC2059 # the format is the line above
  case $1 in
    admin) printf "$format" '.*' '.*' '.*' ;;
    publisher) printf "$format" "$company_queue" "$default|$company_queue" '^$' ;;
    consumer) printf "$format" "$rejected_queue" "$default|$rejected_queue" "$company_queue" ;;
    *) printf "$format" '^$' '^$' '^$' ;;
  esac
}
rabbitmq_definitions() {
  local user users='' permissions=''
  for user in $rabbitmq_users; do
    users+=",
    {\"name\":\"$user\",\"password\":\"$(password_of "rabbitmq-$user")\",\"tags\":\"$(rabbitmq_tag "$user")\"}"
    permissions+=",
    {\"user\":\"$user\",\"vhost\":\"/\",$(rabbitmq_permissions "$user")}"
  done
  cat <<JSON
{
  "vhosts": [{"name":"/"}],
  "users": [${users:1}
  ],
  "permissions": [${permissions:1}
  ]
}
JSON
}

for user in $rabbitmq_users; do
  once "rabbitmq-$user.password" 24
  rabbitmq_url "$user" | replace "rabbitmq-$user.url"
done
rabbitmq_definitions | replace rabbitmq-definitions.json
once erlang.cookie 24

for user in $mongodb_users; do
  once "mongodb-$user.password" 24
  mongodb_url "$user" | replace "mongodb-$user.url"
done
once mongodb.key 128
unset user
