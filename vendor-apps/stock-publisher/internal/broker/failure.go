package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// explain returns why connecting failed, and what to do about it. The same failure
// has the same text each time, so that it is logged once. encrypted says that the
// connection was to use TLS.
func explain(err error, transport *transport, timeout time.Duration, encrypted bool) error {
	var (
		wrongHost x509.HostnameError
		unknown   x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		noTLS     tls.RecordHeaderError
	)
	switch {
	case transport == nil: // Dialling failed.
		return fmt.Errorf("cannot connect: %w", err)
	case errors.As(err, &wrongHost):
		return fmt.Errorf("cannot connect: the broker's certificate is for another host; use a host that it names, "+
			"or name one of them as server_name_indication in the URL: %w", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("cannot connect: the broker's certificate is from an authority that is not trusted here; "+
			"if it is yours, name the file of its certificate in SSL_CERT_FILE, or as cacertfile in the URL: %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired{invalid.Cert, err}
	case errors.As(err, &noTLS):
		return fmt.Errorf("cannot connect: the broker does not speak TLS on this port; "+
			"use its TLS port, usually 5671, or amqp:// without TLS: %w", err)
	case transport.TimedOut():
		// The library reports a failed login, or what it was reading.
		return fmt.Errorf("cannot connect: the broker accepts connections, but does not answer within %v", timeout)
	case transport.SentAlert() && !encrypted:
		return errors.New("cannot connect: the broker speaks TLS on this port; use amqps://")
	case transport.Unanswered() && !encrypted:
		return errors.New("cannot connect: the broker accepts connections, but closes them without an answer; " +
			"if it speaks TLS on this port, use amqps://")
	case transport.Unanswered():
		return errors.New("cannot connect: the broker accepts connections, but closes them without an answer")
	default:
		return fmt.Errorf("cannot connect: %w", err)
	}
}

// expired is a certificate out of its time. The library's own text has the
// current time, which makes each failure look like a new one.
type expired struct {
	certificate *x509.Certificate
	cause       error
}

func (e expired) Error() string {
	if time.Now().Before(e.certificate.NotBefore) {
		return "cannot connect: the broker's certificate, or its authority's, is not valid before " +
			e.certificate.NotBefore.UTC().Format(time.RFC3339) + "; is this machine's clock right?"
	}
	return "cannot connect: the broker's certificate, or its authority's, expired at " +
		e.certificate.NotAfter.UTC().Format(time.RFC3339) + "; renew it"
}

func (e expired) Unwrap() error { return e.cause }

// ClosedConnection reports whether the broker closed the whole connection because of
// something that it was asked. RabbitMQ 3 does so when it cannot reach a quorum queue
// that is declared, or when its first member is late.
func ClosedConnection(err error) bool {
	var answer *amqp.Error
	return errors.As(err, &answer) && answer.Server && answer.Code > amqp.PreconditionFailed
}

// IsRefusal reports whether the broker refused the login, an access or a
// declaration, or its certificate is not accepted: a person must resolve that.
func IsRefusal(err error) bool {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return true
	}
	var refusal *amqp.Error
	return errors.As(err, &refusal) &&
		(refusal.Code == amqp.AccessRefused || refusal.Code == amqp.NotAllowed || refusal.Code == amqp.PreconditionFailed)
}
