package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// deliveryLimit is the argument that, at -1, keeps a quorum queue from dropping
// a trade that has been redelivered too often.
const deliveryLimit = "x-delivery-limit"

// declare makes sure that the queue exists as we want it: durable, of the given
// type, with a single active consumer, and without a delivery limit.
//
// A quorum queue from before RabbitMQ 4 has no such argument, and cannot get it
// by being declared again: the broker refuses. It is then taken as it is, and
// limited is true.
func declare(connection *amqp.Connection, queue, queueType string) (limited bool, err error) {
	arguments := amqp.Table{
		amqp.QueueTypeArg:            queueType,
		amqp.SingleActiveConsumerArg: true,
	}
	if queueType == amqp.QueueTypeQuorum && limitsDeliveries(connection.Properties) {
		arguments[deliveryLimit] = -1
	}
	err = declareWith(connection, queue, arguments)
	if arguments[deliveryLimit] != nil && isMismatch(err, deliveryLimit) {
		delete(arguments, deliveryLimit)
		limited, err = true, declareWith(connection, queue, arguments)
	}
	if isMismatch(err, "") {
		return limited, fmt.Errorf("queue %[1]s exists but was declared otherwise: drain it and delete it "+
			"(rabbitmqctl delete_queue %[1]s), it is then declared anew, or set QUEUE_TYPE to what it is: %[2]w", queue, err)
	}
	if err != nil {
		return limited, fmt.Errorf("cannot declare queue %s: %w", queue, err)
	}
	return limited, nil
}

// declareWith declares on a channel of its own, because a refusal closes it.
func declareWith(connection *amqp.Connection, queue string, arguments amqp.Table) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, arguments); err != nil {
		return err
	}
	return channel.Close()
}

// isMismatch reports whether the broker refused a declaration for differing
// from the existing queue, in the named argument (any, when empty).
func isMismatch(err error, argument string) bool {
	var refusal *amqp.Error
	return errors.As(err, &refusal) && refusal.Code == amqp.PreconditionFailed &&
		strings.Contains(refusal.Reason, argument)
}

// limitsDeliveries reports whether the server limits deliveries unless told not
// to, and can be told: RabbitMQ from 4.0 on. Before, a quorum queue has no limit
// by default, and takes one of -1 as fewer than none: it would drop a trade at
// its first redelivery.
func limitsDeliveries(server amqp.Table) bool {
	product, _ := server["product"].(string)
	version, _ := server["version"].(string)
	major, _, _ := strings.Cut(version, ".")
	number, err := strconv.Atoi(major)
	return product == "RabbitMQ" && err == nil && number >= 4
}
