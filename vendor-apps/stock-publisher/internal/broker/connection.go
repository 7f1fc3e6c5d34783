// Package broker opens connections to RabbitMQ, and sessions on them: channels
// that publish to one queue each.
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
	// heartbeat is the heartbeat interval. The client library closes the connection
	// when the broker is silent for three of them.
	heartbeat = 5 * time.Second
	// connectionTimeout bounds connecting, TLS and logging in together, unless the
	// URL's connection_timeout does. A broker that accepted a connection, was silent
	// and then answers new ones gets one within 10 s.
	connectionTimeout = 7 * time.Second
	// closeTimeout bounds closing a connection or a channel in an orderly way.
	closeTimeout = 500 * time.Millisecond
)

// Connection is an open connection. Its sessions share the broker's patience: the
// broker blocks whole connections.
type Connection struct {
	// Blocked tells when the broker stops and resumes accepting trades.
	Blocked <-chan amqp.Blocking
	// Closed carries the reason why the connection ended; it is closed without one
	// when there is none.
	Closed <-chan *amqp.Error

	connection *amqp.Connection
	transport  *transport
	ended      error
}

// Options are the settings of a connection.
type Options struct {
	// URL may have RabbitMQ's query parameters, such as heartbeat and connection_timeout.
	URL string
	// For says for what the connection is; the broker shows it to its operators.
	For string
	// Version is the program's version; the broker shows it, too.
	Version string
}

// Open connects and logs in. It fails when opening ends first; the connection ends
// with life. IsRefusal tells errors that a person must resolve from those that a
// retry may.
func Open(opening, life context.Context, options Options) (*Connection, error) {
	properties := amqp.NewConnectionProperties()
	properties["product"] = "stock-publisher"
	properties["version"] = options.Version
	properties.SetClientConnectionName("stock-publisher " + options.For)

	uri, err := amqp.ParseURI(options.URL)
	if err != nil {
		return nil, err
	}
	timeout := connectionTimeout
	if uri.ConnectionTimeout > 0 {
		timeout = time.Duration(uri.ConnectionTimeout) * time.Millisecond
	}
	c := &Connection{}
	c.connection, err = amqp.DialConfig(options.URL, amqp.Config{
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
			c.transport = newTransport(connection, opening, life)
			// The library lifts the deadline after the login.
			return c.transport, connection.SetDeadline(deadline)
		},
	})
	if err != nil {
		c.transport.Abort()
		return nil, explain(err, c.transport, timeout, uri.Scheme == "amqps")
	}
	c.Blocked = c.connection.NotifyBlocked(make(chan amqp.Blocking, 16))
	c.Closed = c.connection.NotifyClose(make(chan *amqp.Error, 1))
	if !c.transport.Opened() {
		c.Close()
		return nil, context.Cause(opening)
	}
	return c, nil
}

// ChannelMax returns how many sessions may be open at once: the smaller one of what
// the broker and the URL allow.
func (c *Connection) ChannelMax() int { return int(c.connection.Config.ChannelMax) }

// Gather keeps what is published from now on until Send, or until it is much.
func (c *Connection) Gather() { c.transport.Gather() }

// Send sends what was gathered.
func (c *Connection) Send() error { return c.transport.Send() }

// AnsweredAt returns when the broker last sent anything: no verdict came later.
func (c *Connection) AnsweredAt() time.Time { return c.transport.AnsweredAt() }

// Ended returns why the connection has ended, or nil while it has not.
func (c *Connection) Ended() error {
	if c.ended != nil {
		return c.ended
	}
	select {
	case reason := <-c.Closed:
		return c.EndedBecause(reason) // It explains a failed write, too.
	default:
	}
	if err := c.transport.Failed(); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	if c.connection.IsClosed() {
		return ClosedBecause(nil)
	}
	return nil
}

// EndedBecause returns why the connection has ended, when Closed has told it.
func (c *Connection) EndedBecause(reason *amqp.Error) error {
	if c.ended == nil {
		c.ended = ClosedBecause(reason)
	}
	return c.ended
}

// ClosedBecause returns the error for a connection or channel that ended, with or
// without a reason from the broker.
func ClosedBecause(reason *amqp.Error) error {
	if reason == nil {
		return errors.New("the connection was closed")
	}
	return fmt.Errorf("the connection was lost: %w", reason)
}

// Close closes the connection in an orderly way, or after closeTimeout by force.
func (c *Connection) Close() {
	timer := time.AfterFunc(closeTimeout, c.transport.Abort)
	defer timer.Stop()
	c.connection.Close() // Fails when it is closed already, which is fine.
	c.transport.Abort()
}
