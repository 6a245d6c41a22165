package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAPeerOfAClusterNeedsItsSecret(t *testing.T) {
	secret := file(t, "secret", newSecret())
	for _, good := range [][]string{
		{},
		{"--cluster-secret-file", secret},
		{"--cluster-secret-file", secret, "--join", "a:8373,b:8373"},
		{"--cluster-secret-file", secret, "--join", "a:8373,b:8373,c:8373", "--expect", "3", "--peer-addr", ":0", "--advertise-peer-url", "https://a:8373/"},
		{"--cluster-secret-file", secret, "--join", "[fd00::1]:8373", "--observer"},
		{"--raft-heartbeat", "1s", "--raft-election", "1s", "--raft-lease", "500ms"},
	} {
		if _, err := settings(t, good, nil); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range []struct {
		args  string
		words []string
	}{
		{"--expect 3", []string{"--expect: ", "--cluster-secret-file", "vera secret", "needs --join"}},
		{"--join a:1 --peer-addr :8373 --observer --advertise-peer-url https://a", []string{"--advertise-peer-url --join --observer --peer-addr: "}},
		{"--cluster-secret-file S --observer", []string{"--observer needs --join"}},
		{"--cluster-secret-file S --observer --expect 3 --join a:1", []string{"--observer and --expect"}},
		{"--cluster-secret-file S --expect 1 --join a:1", []string{"--expect is 1"}},
		{"--cluster-secret-file S --expect -2 --join a:1", []string{"--expect is -2"}},
		{"--cluster-secret-file S --expect 2 --join a:1,b:1,c:1,d:1", []string{"two clusters"}},
		{"--cluster-secret-file S --join a,b:x,:8373,c:0,d:99999", []string{`"a"`, `"b:x"`, `":8373"`, `"c:0"`, `"d:99999"`}},
		{"--cluster-secret-file S --peer-addr 8373 --advertise-peer-url http://a:1", []string{"--peer-addr is", "--advertise-peer-url is"}},
		{"--raft-heartbeat 10ms --raft-election 2m --raft-lease 5s", []string{"--raft-heartbeat is", "--raft-election is", "--raft-lease is"}},
	} {
		_, err := settings(t, strings.Fields(strings.ReplaceAll(bad.args, " S", " "+secret)), nil)
		if err == nil {
			t.Errorf("%s: accepted", bad.args)
			continue
		}
		for _, word := range bad.words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q is not in: %v", bad.args, word, err)
			}
		}
	}
}

func TestASecretThatIsNoneIsRefused(t *testing.T) {
	open := file(t, "open", newSecret())
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, word := range map[string]string{open: "chmod 600", file(t, "short", "fifteen letters"): "at least 16", "/nowhere/at/all": "no such file"} {
		c := &config{adminTokenFile: name}
		c.secretFile = name
		err := c.readSecrets()
		if err == nil || strings.Count(err.Error(), word) < 2 || !strings.Contains(err.Error(), "--cluster-secret-file") || !strings.Contains(err.Error(), "--admin-token-file") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "fifteen") {
			t.Errorf("the secret is told: %v", err)
		}
	}
	c := &config{}
	c.secretFile = file(t, "good", "  "+strings.Repeat("s", leastSecret)+"\n")
	if err := c.readSecrets(); err != nil || string(c.secret) != strings.Repeat("s", leastSecret) {
		t.Errorf("%q, %v", c.secret, err)
	}
}

func TestSecretsAreLongAndNoTwoAreTheSame(t *testing.T) {
	a, b := newSecret(), newSecret()
	if a == b || len(a) != 43 {
		t.Errorf("%s %s", a, b)
	}
	if err := writeSecret(file(t, "there", "in use"), a); err == nil || !strings.Contains(err.Error(), "stays as it is") {
		t.Errorf("a secret that is there: %v", err)
	}
}

// everywhere listens on every address.
type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv6unspecified, Port: 8373} }

func TestWhatOthersAreToldCanBeReached(t *testing.T) {
	for _, test := range []struct {
		join, advertise, want string
	}{
		{"127.0.0.1:8373,localhost:9", "", "https://127.0.0.1:8373"},
		{"", "https://peer.example", "https://peer.example:443"},
		{"", "https://peer.example:99/", "https://peer.example:99"},
	} {
		c := &cluster{advertisePeerURL: test.advertise}
		if test.join != "" {
			c.join = strings.Split(test.join, ",")
		}
		if got := c.peerURL(everywhere{}); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
	for _, c := range []*cluster{{}, {join: []string{"127.0.0.1:1", "192.0.2.7:8373"}}} {
		began := time.Now()
		host, _, err := net.SplitHostPort(c.reached(everywhere{}.Addr()))
		if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() || time.Since(began) > 5*time.Second {
			t.Errorf("%q, %v", host, err)
		}
	}
	if got := (&cluster{}).reached(&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 5}); got != "10.1.2.3:5" {
		t.Error(got)
	}
}

func TestArgumentsAreQuotedForAShell(t *testing.T) {
	if got := quoted([]string{"serve", "--join", "127.0.0.1:1,b:2", "", "a b", "it's", "*"}); got != `serve --join 127.0.0.1:1,b:2 '' 'a b' 'it'\''s' '*'` {
		t.Error(got)
	}
}
