package link

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"

	"vera/raft/sign"
)

// certify makes the certificate of a key. It says, beside the key, how this
// start of the peer names itself as a receiver of signed requests, so that
// nobody needs to ask first. It is good for ever: no clock decides whether peers
// can speak.
func certify(key ed25519.PrivateKey, name string) (tls.Certificate, error) {
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the peer's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func baseTLS(own tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"http/1.1"},
		Certificates:           []tls.Certificate{own},
		SessionTicketsDisabled: true, // every connection shows its keys
		// A batch is one write: after each idle second TLS would cut the first of
		// them into records, and writes, of a packet each.
		DynamicRecordSizingDisabled: true,
	}
}

// serverTLS asks for a certificate and takes any, or none: what came is answered
// by HTTP. That its key is the caller's own, TLS has seen to.
func serverTLS(own tls.Certificate) *tls.Config {
	c := baseTLS(own)
	c.ClientAuth = tls.RequestClientCert
	return c
}

// clientTLS speaks with the holder of a key only; "" is any.
func clientTLS(own tls.Certificate, key string) *tls.Config {
	c := baseTLS(own)
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	c.InsecureSkipVerify = true // there is no authority: VerifyConnection looks at the key
	c.VerifyConnection = func(state tls.ConnectionState) error {
		switch got := keyOf(state); {
		case got == "":
			return errors.New("its certificate is not of an ed25519 key")
		case key != "" && got != key:
			return fmt.Errorf("its key is %s, not %s", got, key)
		case state.NegotiatedProtocol != "http/1.1":
			return errors.New("it does not speak http/1.1")
		}
		return nil
	}
	return c
}

// keyOf returns the KeyID of the other side's certificate, "" when it showed
// none, or none of an ed25519 key.
func keyOf(state tls.ConnectionState) string {
	if len(state.PeerCertificates) == 0 {
		return ""
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return ""
	}
	return sign.KeyID(key)
}

// exporter returns what RFC 9266 calls tls-exporter: 32 bytes that both ends of a
// TLS connection know and that no other connection has.
func exporter(state tls.ConnectionState) ([]byte, error) {
	return state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
}

func text(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// The sides of a proof. One side's is not the other's.
const (
	asking    = "vera asking "
	answering = "vera answering "
)

// prove makes the proof that the side which holds the key knows the secret: good
// on one TLS connection, for one key, in one direction.
func prove(secret []byte, side string, exporter []byte, key string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(side))
	mac.Write(exporter) // 32 bytes
	mac.Write([]byte(key))
	return text(mac.Sum(nil))
}

// proves checks a proof. Without a secret nothing is proven.
func proves(proof string, secret []byte, side string, exporter []byte, key string) bool {
	return len(secret) > 0 && hmac.Equal([]byte(proof), []byte(prove(secret, side, exporter, key)))
}
