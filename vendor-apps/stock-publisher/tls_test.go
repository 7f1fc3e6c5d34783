package main

// The program and a broker that speaks TLS: a proxy with certificates of the
// test's own, in front of the real broker.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // its certificate, as PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "authority.pem")}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "an authority of this test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	issued := a.sign(t, template)
	a.certificate, a.key = issued.Leaf, issued.PrivateKey.(*ecdsa.PrivateKey)
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	if err := os.WriteFile(a.file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue returns a certificate for localhost; change may make it another one.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "a broker"}, DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
	}
	change(template)
	return a.sign(t, template)
}

// sign signs with the authority's key, or lets the certificate sign itself when
// the authority has none yet.
func (a *authority) sign(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// newTLSLink returns the amqps URL of the real broker through a link that speaks
// TLS with this certificate.
func newTLSLink(t *testing.T, certificate tls.Certificate) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, through := newLinkOn(t, tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	address, err := url.Parse(through)
	if err != nil {
		t.Fatal(err)
	}
	address.Scheme, address.Host = "amqps", "localhost:"+address.Port()
	return address.String()
}

func unchanged(*x509.Certificate) {}

func TestItPublishesThroughTLSWithAPrivateAuthority(t *testing.T) {
	private := newAuthority(t)
	through := newTLSLink(t, private.issue(t, unchanged))
	for name, variables := range map[string]map[string]string{
		"SSL_CERT_FILE": {"RABBITMQ_URL": through, "SSL_CERT_FILE": private.file},
		"cacertfile":    {"RABBITMQ_URL": through + "?cacertfile=" + private.file},
	} {
		t.Run(name, func(t *testing.T) {
			company := newCompany(t)
			variables["STOCKS"], variables["TRADES"] = company, "100"
			if code := start(t, variables).awaitExit(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			checkAllInOrder(t, sequencesOf(t, drain(t, company, 100)), 0, 100)
		})
	}
}

func TestItSaysWhatIsWrongWithTheBrokersCertificate(t *testing.T) {
	private := newAuthority(t)
	expiry := time.Now().Add(-time.Minute)
	beginning := time.Now().Add(time.Hour)
	for name, fault := range map[string]struct {
		certificate tls.Certificate
		trusted     *authority
		says        []string
	}{
		"wrong host": {
			private.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }), private,
			[]string{"valid for other.example, not localhost", "server_name_indication"},
		},
		"expired": {
			private.issue(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = expiry.Add(-time.Hour), expiry }), private,
			[]string{"expired at " + expiry.UTC().Format(time.RFC3339)},
		},
		"not yet valid": {
			private.issue(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = beginning, beginning.Add(time.Hour) }), private,
			[]string{"not valid before " + beginning.UTC().Format(time.RFC3339), "clock"},
		},
		"unknown authority": {
			private.issue(t, unchanged), newAuthority(t),
			[]string{"unknown authority", "SSL_CERT_FILE", "cacertfile"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, map[string]string{
				"RABBITMQ_URL": newTLSLink(t, fault.certificate), "STOCKS": "MSFT", "SSL_CERT_FILE": fault.trusted.file,
			})
			eventually(t, "it has tried three times", func() bool { return strings.Count(p.output(), "trying again") >= 3 })
			for _, text := range fault.says {
				if !strings.Contains(p.output(), text) {
					t.Errorf("the log does not say %q", text)
				}
			}
			if said := strings.Count(p.output(), `"level":"ERROR"`); said != 1 {
				t.Errorf("the log says it %d times, want once", said)
			}
			if status, body := p.get("/readyz"); status != 503 || !strings.Contains(body, fault.says[0]) {
				t.Errorf("/readyz: %d %s", status, body)
			}
		})
	}
}

func TestItSaysWhenOnlyOneSideSpeaksTLS(t *testing.T) {
	_, plain := newLink(t)
	encrypted := newTLSLink(t, newAuthority(t).issue(t, unchanged))
	for address, says := range map[string]string{
		"amqps" + strings.TrimPrefix(plain, "amqp"):     "does not speak TLS",
		"amqp" + strings.TrimPrefix(encrypted, "amqps"): "speaks TLS",
	} {
		p := start(t, map[string]string{"RABBITMQ_URL": address, "STOCKS": "MSFT"})
		p.awaitLog("trying again")
		if !strings.Contains(p.output(), says) {
			t.Errorf("the log does not say %q: %s", says, p.output())
		}
	}
}
