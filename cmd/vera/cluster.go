package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// defaultPeerAddr is where a peer listens for others, once it may have company.
const defaultPeerAddr = ":8373"

// mostPeers bounds --expect and --join: more voters than these only slow each
// other down.
const mostPeers = 99

// cluster is what a peer was told of the others.
type cluster struct {
	peerAddr, advertisePeerURL string
	secretFile                 string
	join                       []string
	expect                     int
	observer                   bool

	heartbeat, election, lease time.Duration // of Raft

	secret []byte // of secretFile
}

func (c *config) clusterFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("cluster", pflag.ContinueOnError)
	f.StringVar(&c.secretFile, "cluster-secret-file", "", "what peers prove to each other when one joins; see: vera secret")
	f.StringSliceVar(&c.join, "join", nil, "peers to ask, host:port of their peer listeners")
	f.IntVar(&c.expect, "expect", 0, "form a new cluster as soon as so many peers found each other")
	f.BoolVar(&c.observer, "observer", false, "join without a vote: serves reads, watches and sockets")
	f.StringVar(&c.peerAddr, "peer-addr", "", "other peers (default with a secret: "+defaultPeerAddr+"); port 0 picks one")
	f.StringVar(&c.advertisePeerURL, "advertise-peer-url", "", "what other peers are told (default: from the address)")
	return f
}

func (c *config) raftFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("raft", pflag.ContinueOnError)
	f.DurationVar(&c.heartbeat, "raft-heartbeat", 300*time.Millisecond, "a follower that hears nothing for so long asks whether to elect another leader")
	f.DurationVar(&c.election, "raft-election", 300*time.Millisecond, "an election without a winner is held again after so long")
	f.DurationVar(&c.lease, "raft-lease", 250*time.Millisecond, "a leader that hears from no majority for so long steps down")
	return f
}

// clustered says whether this peer may have company.
func (c *cluster) clustered() bool { return c.secretFile != "" }

// checkCluster names everything that is wrong with what was told of others.
func (c *config) checkCluster() (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if given := c.ofCluster(); len(given) > 0 && !c.clustered() {
		wrong("%s: peers prove a secret to each other, so --cluster-secret-file is needed; make one with: vera secret", strings.Join(given, " "))
	}
	if c.peerAddr != "" {
		if _, _, err := net.SplitHostPort(c.peerAddr); err != nil {
			wrong("--peer-addr is %q, not host:port", c.peerAddr)
		}
	}
	if len(c.join) > mostPeers {
		wrong("--join names %d peers, at most %d", len(c.join), mostPeers)
	}
	for _, at := range c.join {
		host, port, err := net.SplitHostPort(at)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			wrong("--join has %q, not host:port of a peer listener such as 10.0.0.1:8373", at)
		}
	}
	switch {
	case c.expect == 0:
	case c.expect < 2 || c.expect > mostPeers:
		wrong("--expect is %d, outside 2 … %d; a peer that is alone needs none", c.expect, mostPeers)
	case len(c.join) == 0:
		wrong("--expect=%d needs --join: where the others are", c.expect)
	case 2*c.expect <= len(c.join):
		wrong("--expect=%d of the %d peers in --join could form two clusters: expect more than half of them", c.expect, len(c.join))
	}
	if c.observer && c.expect > 0 {
		wrong("--observer and --expect: a peer that forms a cluster votes in it")
	}
	if c.observer && len(c.join) == 0 {
		wrong("--observer needs --join: which cluster to observe")
	}
	if told := c.advertisePeerURL; told != "" {
		if u, err := url.Parse(told); err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			wrong("--advertise-peer-url is %q, not a URL such as https://10.0.0.1:8373", told)
		}
	}
	return append(errs, c.checkRaft()...)
}

// ofCluster names the flags that were given and mean nothing to a peer alone.
func (c *cluster) ofCluster() (given []string) {
	for name, is := range map[string]bool{
		"--peer-addr": c.peerAddr != "", "--advertise-peer-url": c.advertisePeerURL != "",
		"--join": len(c.join) > 0, "--expect": c.expect != 0, "--observer": c.observer,
	} {
		if is {
			given = append(given, name)
		}
	}
	slices.Sort(given)
	return given
}

// checkRaft bounds Raft's times: a leader must step down before others elect
// one, and what is shorter than a breath of the scheduler elects all day.
func (c *cluster) checkRaft() []error {
	return outside([]span{
		{"raft-heartbeat", c.heartbeat, 50 * time.Millisecond, time.Minute},
		{"raft-election", c.election, c.heartbeat, time.Minute},
		{"raft-lease", c.lease, 50 * time.Millisecond, c.heartbeat},
	})
}

// readSecrets reads the files that hold them.
func (c *config) readSecrets() error {
	token, err := readSecret(c.adminTokenFile)
	if err != nil {
		err = fmt.Errorf("--admin-token-file: %w", err)
	}
	secret, wrong := readSecret(c.secretFile)
	if wrong != nil {
		wrong = fmt.Errorf("--cluster-secret-file: %w", wrong)
	}
	c.adminToken, c.secret = token, []byte(secret)
	return errors.Join(err, wrong)
}

// peerURL is where other peers reach a listener.
func (c *cluster) peerURL(l net.Listener) string {
	if c.advertisePeerURL == "" {
		return "https://" + c.reached(l.Addr())
	}
	u, err := url.Parse(c.advertisePeerURL)
	if err == nil && u.Port() == "" {
		return "https://" + net.JoinHostPort(u.Hostname(), "443")
	}
	return strings.TrimRight(c.advertisePeerURL, "/")
}

// reached is the address by which others reach a listener. One that listens on
// every address of this machine is told by that one which faces the other
// peers, or else by the first that is not for this machine alone.
func (c *cluster) reached(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return at.String()
	}
	return net.JoinHostPort(c.facing().String(), strconv.Itoa(tcp.Port))
}

// facing is this machine's address towards the others.
func (c *cluster) facing() net.IP {
	here := net.IPv4(127, 0, 0, 1)
	if len(c.join) > 0 && c.allLoopback() {
		return here
	}
	for _, other := range c.join {
		// Nothing is sent: the kernel only picks the way.
		conn, err := net.DialTimeout("udp", other, time.Second)
		if err != nil {
			continue
		}
		own := conn.LocalAddr().(*net.UDPAddr).IP
		_ = conn.Close() // it was never used
		if !own.IsLoopback() {
			return own
		}
	}
	addresses, _ := net.InterfaceAddrs() // without any, this machine is alone
	for _, a := range addresses {
		if own, ok := a.(*net.IPNet); ok && own.IP.IsGlobalUnicast() {
			return own.IP
		}
	}
	return here
}

// allLoopback says whether all others are on this machine.
func (c *cluster) allLoopback() bool {
	return !slices.ContainsFunc(c.join, func(at string) bool {
		host, _, err := net.SplitHostPort(at)
		return err != nil || !loopback(host)
	})
}
