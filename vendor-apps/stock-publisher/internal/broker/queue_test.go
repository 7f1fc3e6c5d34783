package broker

import (
	"errors"
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestTheDeliveryLimitIsLiftedOnlyWhereRabbitMQHasOneByDefault(t *testing.T) {
	for version, limits := range map[string]bool{
		"3.10.8": false, "3.13.7": false, "4.0.1": true, "4.3.6": true, "4.3.0-rc.1": true, "10.0": true, "": false, "next": false,
	} {
		if got := limitsDeliveries(amqp.Table{"product": "RabbitMQ", "version": version}); got != limits {
			t.Errorf("RabbitMQ %q: %v, want %v", version, got, limits)
		}
	}
	if limitsDeliveries(amqp.Table{"product": "Another", "version": "4.0.0"}) {
		t.Error("another product's version 4 is taken for RabbitMQ's")
	}
	if limitsDeliveries(amqp.Table{"version": 4}) {
		t.Error("a server that does not name itself is taken for RabbitMQ")
	}
}

func TestOnlyARefusalForTheArgumentCountsAsItsMismatch(t *testing.T) {
	refusal := fmt.Errorf("declaring: %w", &amqp.Error{Code: amqp.PreconditionFailed,
		Reason: "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'MSFT' in vhost '/': received the value '-1' of type 'signedint' but current is none"})
	if !isMismatch(refusal, deliveryLimit) || !isMismatch(refusal, "") {
		t.Error("a mismatch of the delivery limit is not recognised")
	}
	if isMismatch(refusal, "x-queue-type") {
		t.Error("a mismatch of the delivery limit is taken for one of the queue's type")
	}
	for _, other := range []error{nil, errors.New("x-delivery-limit"), &amqp.Error{Code: amqp.AccessRefused, Reason: "x-delivery-limit"}} {
		if isMismatch(other, "") {
			t.Errorf("%v is taken for a mismatch", other)
		}
	}
}
