// Package broker opens sessions with RabbitMQ: one connection with one channel
// that publishes to one queue. RabbitMQ blocks whole connections, so with one
// per company a slow or refused queue does not block the others.
package broker

import (
	"context"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/trade"
)

const (
	// heartbeat is the heartbeat interval. The client library closes the connection
	// when the broker is silent for three of them.
	heartbeat = 5 * time.Second
	// connectionTimeout bounds connecting, TLS and logging in together, unless the
	// URL's connection_timeout does. A broker that accepted a connection, was silent
	// and then answers new ones gets one within 10 s.
	connectionTimeout = 7 * time.Second
	// closeTimeout bounds closing the connection in an orderly way.
	closeTimeout = 500 * time.Millisecond
)

// Message is one trade as it is sent.
type Message struct {
	ID     string
	MadeAt time.Time
	Body   []byte
}

// Session is an open connection that publishes to one queue.
type Session struct {
	// Returns carries trades that reached no queue. The broker confirms them
	// too; a return arrives before its confirmation. It has room for all trades in
	// flight, so the connection never waits for its reader.
	Returns <-chan amqp.Return
	// Blocked tells when the broker stops and resumes accepting trades.
	Blocked <-chan amqp.Blocking
	// Closed carries the reason why the session ended; it is closed without one
	// when there is none.
	Closed <-chan *amqp.Error
	// LimitedDelivery is true when the queue was declared without the argument
	// that turns its delivery limit off. Only a policy can then turn it off.
	LimitedDelivery bool

	queue      string
	connection *amqp.Connection
	channel    *amqp.Channel
	transport  *transport
	inFlight   int
}

// Options are the settings of a session.
type Options struct {
	// URL may have RabbitMQ's query parameters, such as heartbeat and connection_timeout.
	URL       string
	Queue     string
	QueueType string
	// InFlight is the maximum number of unconfirmed trades.
	InFlight int
	// Version is the program's version; the broker shows it to its operators.
	Version string
}

// Open connects, declares the queue and turns publisher confirms on. It fails
// when opening ends first; the session ends with life. IsRefusal tells errors
// that a person must resolve from those that a retry may.
func Open(opening, life context.Context, options Options) (*Session, error) {
	session := &Session{queue: options.Queue, inFlight: options.InFlight}
	properties := amqp.NewConnectionProperties()
	properties["product"] = "stock-publisher"
	properties["version"] = options.Version
	properties.SetClientConnectionName("stock-publisher " + options.Queue)

	uri, err := amqp.ParseURI(options.URL)
	if err != nil {
		return nil, err
	}
	timeout := connectionTimeout
	if uri.ConnectionTimeout > 0 {
		timeout = time.Duration(uri.ConnectionTimeout) * time.Millisecond
	}
	connection, err := amqp.DialConfig(options.URL, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			deadline := time.Now().Add(timeout)
			connecting, cancel := context.WithDeadline(opening, deadline)
			defer cancel()
			connection, err := new(net.Dialer).DialContext(connecting, network, address)
			if err != nil {
				return nil, err
			}
			session.transport = newTransport(connection, opening, life)
			// The library lifts the deadline after the login.
			return session.transport, connection.SetDeadline(deadline)
		},
	})
	if err != nil {
		session.transport.Abort()
		return nil, explain(err, session.transport, timeout, uri.Scheme == "amqps")
	}
	session.connection = connection
	session.Blocked = connection.NotifyBlocked(make(chan amqp.Blocking, 16))

	if err := session.prepare(options); err != nil {
		session.Close()
		return nil, err
	}
	if !session.transport.Opened() {
		session.Close()
		return nil, context.Cause(opening)
	}
	return session, nil
}

// prepare declares the queue and opens the channel that publishes to it.
func (s *Session) prepare(options Options) error {
	var err error
	if s.LimitedDelivery, err = declare(s.connection, options.Queue, options.QueueType); err != nil {
		return err
	}
	return s.openChannel()
}

// openChannel opens the channel that publishes.
//
// The client library could tell of each confirmation through a Go channel. That
// costs a timer and a wake-up for each trade, and where the broker confirms several
// trades at once, and has refused one of them before, the library (1.16.0) reports
// that one as confirmed too. So the publisher looks at each trade's Verdict.
func (s *Session) openChannel() error {
	channel, err := s.connection.Channel()
	if err != nil {
		return fmt.Errorf("cannot open a channel: %w", err)
	}
	s.channel = channel
	s.Closed = channel.NotifyClose(make(chan *amqp.Error, 1))
	s.Returns = channel.NotifyReturn(make(chan amqp.Return, s.inFlight))
	if err := channel.Confirm(false); err != nil {
		return fmt.Errorf("cannot turn confirms on: %w", err)
	}
	return nil
}

// RenewChannel replaces the channel, and with it Returns and Closed. The verdicts
// that were due are lost.
func (s *Session) RenewChannel() error {
	if err := s.channel.Close(); err != nil {
		return fmt.Errorf("cannot close a channel: %w", err)
	}
	return s.openChannel()
}

// Publish sends a trade as persistent, and as mandatory so that the broker
// returns it when there is no queue. It blocks while the network or the broker
// is slow.
func (s *Session) Publish(message Message) (Verdict, error) {
	confirmation, err := s.channel.PublishWithDeferredConfirm("", s.queue, true, false, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    message.ID,
		Timestamp:    message.MadeAt,
		AppId:        "stock-publisher",
		Type:         trade.MessageType,
		Body:         message.Body,
	})
	return Verdict{confirmation, s.channel}, err
}

// Gather keeps what is published from now on until Send, or until it is much.
func (s *Session) Gather() { s.transport.Gather() }

// Send sends what was gathered.
func (s *Session) Send() error { return s.transport.Send() }

// AnsweredAt returns when the broker last sent anything: no verdict came later.
func (s *Session) AnsweredAt() time.Time { return s.transport.AnsweredAt() }

// Close closes the connection in an orderly way, or after closeTimeout by force.
func (s *Session) Close() {
	timer := time.AfterFunc(closeTimeout, s.transport.Abort)
	defer timer.Stop()
	s.connection.Close() // Fails when it is closed already, which is fine.
	s.transport.Abort()
}
