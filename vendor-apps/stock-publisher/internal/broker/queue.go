package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// deliveryLimit is the queue argument that bounds how often a quorum queue
// redelivers a message before it drops it; -1 turns the limit off.
const deliveryLimit = "x-delivery-limit"

// declare declares the queue: durable, of the given type, with a single active
// consumer and without a delivery limit. It returns the channel that did so.
//
// A quorum queue from before RabbitMQ 4 lacks the delivery limit's argument, and
// the broker refuses to add it. declare then uses the queue as it is, and
// limited is true.
func declare(connection *amqp.Connection, queue, queueType string) (channel *amqp.Channel, limited bool, err error) {
	arguments := amqp.Table{
		amqp.QueueTypeArg:            queueType,
		amqp.SingleActiveConsumerArg: true,
	}
	if queueType == amqp.QueueTypeQuorum && limitsDeliveries(connection.Properties) {
		arguments[deliveryLimit] = -1
	}
	channel, err = declareWith(connection, queue, arguments)
	if arguments[deliveryLimit] != nil && isMismatch(err, deliveryLimit) {
		delete(arguments, deliveryLimit)
		limited = true
		channel, err = declareWith(connection, queue, arguments)
	}
	if isMismatch(err, "") {
		return nil, false, fmt.Errorf("queue %s exists but was declared otherwise: drain it and delete it "+
			"(%s), it is then declared anew, or set QUEUE_TYPE to what it is: %w", queue, deleteCommand(queue), err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot declare queue %s: %w", queue, err)
	}
	return channel, limited, nil
}

// declareWith declares on a new channel. A refusal closes it.
func declareWith(connection *amqp.Connection, queue string, arguments amqp.Table) (*amqp.Channel, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	_, err = channel.QueueDeclare(queue, true, false, false, false, arguments)
	return channel, err
}

// isMismatch reports whether the broker refused a declaration because it differs
// from the existing queue in the named argument, or in any when argument is empty.
func isMismatch(err error, argument string) bool {
	var refusal *amqp.Error
	return errors.As(err, &refusal) && refusal.Code == amqp.PreconditionFailed &&
		strings.Contains(refusal.Reason, argument)
}

// limitsDeliveries reports whether the server has a delivery limit by default
// that -1 turns off: RabbitMQ 4.0 and later. Earlier versions have no default
// limit, and with -1 they drop a message at its first redelivery.
func limitsDeliveries(server amqp.Table) bool {
	product, _ := server["product"].(string)
	version, _ := server["version"].(string)
	major, _, _ := strings.Cut(version, ".")
	number, err := strconv.Atoi(major)
	return product == "RabbitMQ" && err == nil && number >= 4
}
