package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vera/client"
)

// certify writes a certificate of 127.0.0.1 and its key, signed by itself.
func certify(t *testing.T, serial int64, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// trusting returns an HTTP client that trusts these certificates and no others.
func trusting(certificates ...*x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func TestEverythingWorksOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	from := trusting(certify(t, 1, certFile, keyFile))
	p := startPeer(t, "--tls-cert", certFile, "--tls-key", keyFile)
	url := "wss://" + p.client

	dial := func(o client.Options) *caller {
		t.Helper()
		o.HTTP = from
		c, err := client.Dial(within(t, patience), url, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Abort)
		return &caller{Connection: c, t: t}
	}
	c := dial(client.Options{})
	if !strings.HasPrefix(c.Cookie(), "__Host-vera-") {
		t.Errorf("the cookie is %.20s…", c.Cookie())
	}
	w := dial(client.Options{}).watch("/data/tls")
	item := c.push("/data/tls", map[string]string{"fill": strings.Repeat("x", 60_000)}) // several records
	if n := w.next(); len(n.Added) != 1 || n.Added[0].Version != item.Version {
		t.Errorf("told %d added", len(n.Added))
	}
	c.Abort()
	if s := dial(client.Options{Cookie: c.Cookie()}).session(); !s.Resumed || len(s.Items) != 1 {
		t.Errorf("resumed as %s", text(s))
	}
	response, err := from.Get("https://" + p.client + "/session")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if cookies := response.Cookies(); len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].Path != "/" {
		t.Errorf("cookies %v", cookies)
	}

	conn, err := net.Dial("tcp", p.client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err = io.WriteString(conn, head(p, "GET /data/a HTTP/1.1")); err == nil {
		err = conn.SetReadDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Error("plain HTTP on the TLS port was not cut off")
	}
}

func TestACertificateIsReadAgainOnSIGHUP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	old := trusting(certify(t, 1, certFile, keyFile))
	p := startPeer(t, "--tls-cert", certFile, "--tls-key", keyFile)
	c, err := client.Dial(within(t, patience), "https://"+p.client, client.Options{HTTP: old})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	renewed := trusting(certify(t, 2, certFile, keyFile))
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the new certificate", func() bool {
		response, err := renewed.Get("https://" + p.client + "/data/a")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	if _, err := c.Ping(within(t, patience)); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
}
