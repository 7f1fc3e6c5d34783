// Package broker opens sessions with RabbitMQ: one connection with one channel
// that publishes to one queue. RabbitMQ holds back whole connections, so with
// one for each company a slow or refused queue holds back only itself.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// heartbeat: a broker that is silent for one and a half of these is given up.
	heartbeat = 5 * time.Second
	// writeTimeout bounds a write to a broker that no longer reads. Without it
	// the client library would wait for the write before closing the connection.
	writeTimeout = 15 * time.Second
	// handshakeTimeout bounds connecting, TLS and logging in.
	handshakeTimeout = 10 * time.Second
	// closeTimeout bounds the goodbye.
	closeTimeout = 500 * time.Millisecond
)

// Message is one trade as it goes over the wire.
type Message struct {
	ID     string
	MadeAt time.Time
	Body   []byte
}

// Session is an open connection that publishes to one queue. Its channels are
// buffered for all trades in flight, so that the connection never waits for
// their reader, which must nonetheless keep reading all of them.
type Session struct {
	// Confirms carries the broker's verdicts in the order of publishing.
	Confirms <-chan amqp.Confirmation
	// Returns carries trades that reached no queue. The broker confirms them
	// all the same: each is here before its confirmation is in Confirms.
	Returns <-chan amqp.Return
	// Blocked says whenever the broker stops or resumes taking trades.
	Blocked <-chan amqp.Blocking
	// Closed carries why the session ended, or is closed without a reason.
	Closed <-chan *amqp.Error
	// LimitedDelivery is true when the queue exists without the argument that
	// turns its delivery limit off, so that only a policy can.
	LimitedDelivery bool

	queue      string
	connection *amqp.Connection
	channel    *amqp.Channel
	transport  *transport
}

// Options say whom to talk to, about which queue.
type Options struct {
	URL       string
	Queue     string
	QueueType string
	// InFlight is the most trades that are ever unconfirmed at once.
	InFlight int
	// Version is shown to the broker's operators.
	Version string
}

// Open connects, declares the queue and turns confirms on. It gives up when
// opening ends; the session it returns lasts until life ends.
func Open(opening, life context.Context, options Options) (*Session, error) {
	session := &Session{queue: options.Queue}
	properties := amqp.NewConnectionProperties()
	properties["product"] = "stock-publisher"
	properties["version"] = options.Version
	properties.SetClientConnectionName("stock-publisher " + options.Queue)

	connection, err := amqp.DialConfig(options.URL, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			connecting, cancel := context.WithTimeout(opening, handshakeTimeout)
			defer cancel()
			connection, err := new(net.Dialer).DialContext(connecting, network, address)
			if err != nil {
				return nil, err
			}
			session.transport = newTransport(connection, opening, life)
			// Lifted by the library once it is logged in.
			return session.transport, connection.SetDeadline(time.Now().Add(handshakeTimeout))
		},
	})
	if err != nil {
		session.transport.Abort()
		return nil, fmt.Errorf("cannot connect: %w", err)
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

// prepare declares the queue and readies a channel for publishing to it.
func (s *Session) prepare(options Options) error {
	var err error
	if s.LimitedDelivery, err = declare(s.connection, options.Queue, options.QueueType); err != nil {
		return err
	}
	if s.channel, err = s.connection.Channel(); err != nil {
		return fmt.Errorf("cannot open a channel: %w", err)
	}
	s.Closed = s.channel.NotifyClose(make(chan *amqp.Error, 1))
	s.Returns = s.channel.NotifyReturn(make(chan amqp.Return, options.InFlight))
	s.Confirms = s.channel.NotifyPublish(make(chan amqp.Confirmation, options.InFlight))
	if err := s.channel.Confirm(false); err != nil {
		return fmt.Errorf("cannot turn confirms on: %w", err)
	}
	return nil
}

// Publish sends a trade, persistent, and mandatory so that the broker says when
// there is no queue for it. It waits while the network or the broker is slow.
// The verdict comes through Confirms.
func (s *Session) Publish(message Message) error {
	return s.channel.PublishWithContext(context.Background(), "", s.queue, true, false, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    message.ID,
		Timestamp:    message.MadeAt,
		AppId:        "stock-publisher",
		Body:         message.Body,
	})
}

// Close says goodbye, for no longer than closeTimeout, and ends the connection.
func (s *Session) Close() {
	timer := time.AfterFunc(closeTimeout, s.transport.Abort)
	defer timer.Stop()
	s.connection.Close() // Already closed, mostly: then there is nothing to say.
	s.transport.Abort()
}

// transport is a network connection that contexts can cut and that no write
// can hold up for long.
type transport struct {
	net.Conn
	keepOpening func() bool
	keepLiving  func() bool
}

func newTransport(connection net.Conn, opening, life context.Context) *transport {
	cut := func() { connection.Close() }
	return &transport{
		Conn:        connection,
		keepOpening: context.AfterFunc(opening, cut),
		keepLiving:  context.AfterFunc(life, cut),
	}
}

// Opened ends the hold of the opening context; false when that cut it already.
func (t *transport) Opened() bool { return t.keepOpening() }

// Abort cuts the connection, whatever is still under way on it.
func (t *transport) Abort() {
	if t == nil {
		return // There never was a connection.
	}
	t.keepOpening()
	t.keepLiving()
	t.Conn.Close()
}

func (t *transport) Write(data []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return t.Conn.Write(data)
}

// IsRefusal reports whether the broker was reached but did not let us in or
// have our way: something that a person has to put right.
func IsRefusal(err error) bool {
	var refusal *amqp.Error
	return errors.As(err, &refusal) &&
		(refusal.Code == amqp.AccessRefused || refusal.Code == amqp.NotAllowed || refusal.Code == amqp.PreconditionFailed)
}
