package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vera/test/ports"
)

// Options say how a cluster is started.
type Options struct {
	Flags []string // of every peer
	Net   bool     // each peer in a network namespace of its own
	Plain bool     // without the race detector
	// Bin is the binary that the peers run; "": the one of this tree.
	Bin string
	// Dir is where the data directories go; "": a folder of the test's.
	Dir string
	// Wrap, if set, is put before the command of a peer: strace and its flags.
	Wrap func(peer int) []string
}

// Cluster is some peers that form one, each a process.
type Cluster struct {
	Peers []*Peer
	t     testing.TB
	o     Options
	dir   string
	net   *network
	// All reads of the admin listener; a peer may be stopped, so they are short.
	http *http.Client
}

// token is the admin password of all peers that are not on loopback.
const token = "the-admin-token-of-these-tests"

// Patience is how long anything that must happen may take.
const Patience = 30 * time.Second

// Start starts n peers that form a cluster, and waits until each of them knows
// all others and a leader, and has its vote. They end with the test.
func Start(t testing.TB, n int, o Options) *Cluster {
	t.Helper()
	c := Prepare(t, n, o)
	for _, p := range c.Peers {
		p.Launch()
	}
	c.AwaitWhole()
	return c
}

// Prepare is Start without starting any process.
func Prepare(t testing.TB, n int, o Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, o: o, dir: cmp.Or(o.Dir, t.TempDir()), http: &http.Client{
		Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	}}
	for name, content := range map[string]string{"secret": "a-secret-for-peers-of-these-tests", "token": token} {
		if err := os.WriteFile(c.file(name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.Net {
		c.net = newNetwork(t, n)
	}
	var join []string
	for i := range n {
		c.Peers = append(c.Peers, c.newPeer(i))
		join = append(join, c.Peers[i].Peer)
	}
	for _, p := range c.Peers {
		if n > 1 {
			p.flags = append(p.flags, "--join", strings.Join(join, ","), "--expect", fmt.Sprint(n))
		}
	}
	return c
}

// Add starts one more peer, which joins, with further flags.
func (c *Cluster) Add(flags ...string) *Peer {
	c.t.Helper()
	if c.net != nil {
		c.net.add(len(c.Peers))
	}
	p := c.newPeer(len(c.Peers))
	var join []string
	for _, other := range c.Peers {
		join = append(join, other.Peer)
	}
	p.flags = append(append(p.flags, "--join", strings.Join(join, ",")), flags...)
	c.Peers = append(c.Peers, p)
	p.Launch()
	return p
}

// Replace has another peer remove p, waits until p's process is over, and starts
// one on an empty directory in its place. It does not wait until that has joined.
func (c *Cluster) Replace(p *Peer) {
	c.t.Helper()
	if p.Runs() { // it may be joining still
		c.Await(p.Name+" to be up", func() error {
			_, err := p.Known()
			return err
		})
	}
	c.Await(p.Name+" to be removed", func() error {
		err := errors.New("no other peer runs")
		for _, other := range c.Running() {
			if other == p {
				continue
			}
			if err = other.Post("/peers/" + p.Name + "/remove"); err == nil || strings.Contains(err.Error(), "there is no peer") {
				return nil
			}
		}
		return err
	})
	if err := p.AwaitExit(Patience); err != nil {
		c.t.Fatalf("%s was removed: %v", p.Name, err)
	}
	if err := os.RemoveAll(p.Dir); err != nil {
		c.t.Fatal(err)
	}
	p.Launch()
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// newPeer makes a peer that knows its addresses, and nobody else's.
func (c *Cluster) newPeer(i int) *Peer {
	p := &Peer{Name: fmt.Sprintf("p%d", i), index: i, c: c, Dir: c.file(fmt.Sprintf("p%d", i)), log: &Journal{}}
	if c.net != nil {
		ip := c.net.address(i)
		p.Client, p.Peer, p.Admin = ip+":8372", ip+":8373", ip+":8374"
	} else {
		block := ports.For(c.t, 3)
		p.Client, p.Peer, p.Admin = block.Address(0), block.Address(1), block.Address(2)
	}
	p.flags = []string{
		"serve", "--name", p.Name, "--data-dir", p.Dir, "--client-addr", p.Client, "--peer-addr", p.Peer, "--admin-addr", p.Admin,
		"--admin-token-file", c.file("token"), "--cluster-secret-file", c.file("secret"), "--drain", "1s", "--log-format", "json",
	}
	p.flags = append(p.flags, c.o.Flags...)
	c.t.Cleanup(p.finish)
	return p
}

// Await asks until it holds. What it returns last is told when it never does.
func (c *Cluster) Await(what string, holds func() error) {
	c.t.Helper()
	if err := Ask(Patience, holds); err != nil {
		c.t.Fatalf("waited %v for %s: %v", Patience, what, err)
	}
}

// Ask asks until there is no error, for a time at most, and returns the last.
func Ask(patience time.Duration, holds func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
}

// AwaitWhole waits until every peer that runs knows the same leader, lists every
// peer that runs, with a vote unless it observes, and is ready.
func (c *Cluster) AwaitWhole() {
	c.t.Helper()
	c.Await("a whole cluster", func() error {
		leader := ""
		for _, p := range c.Running() {
			seen, err := p.Known()
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			if len(seen) < len(c.Running()) {
				return fmt.Errorf("%s lists %d peers", p.Name, len(seen))
			}
			for _, other := range seen {
				if other.Role == "observer" && !c.observes(other.Name) {
					return fmt.Errorf("%s has no vote yet", other.Name)
				}
			}
			if seen[0].Role != "leader" || leader != "" && seen[0].Name != leader {
				return fmt.Errorf("%s takes %s (%s) for the leader, others %s", p.Name, seen[0].Name, seen[0].Role, leader)
			}
			leader = seen[0].Name
			if err := p.Ready(); err != nil {
				return err
			}
		}
		if leader == "" {
			return errors.New("no peer runs")
		}
		return nil
	})
}

// observes says whether a peer was started to have no vote.
func (c *Cluster) observes(name string) bool {
	for _, p := range c.Peers {
		if p.Name == name && slices.Contains(p.flags, "--observer") {
			return true
		}
	}
	return false
}

// Running returns the peers whose process runs and is not stopped.
func (c *Cluster) Running() (all []*Peer) {
	for _, p := range c.Peers {
		if p.Runs() && !p.stopped {
			all = append(all, p)
		}
	}
	return all
}

// Leader returns the peer that most of those who run take for the leader; it
// waits for that.
func (c *Cluster) Leader() (leader *Peer) {
	c.t.Helper()
	c.Await("a leader", func() error {
		votes := map[string]int{}
		for _, p := range c.Running() {
			if seen, err := p.Known(); err == nil && len(seen) > 0 && seen[0].Role == "leader" {
				votes[seen[0].Name]++
			}
		}
		for _, p := range c.Running() {
			if 2*votes[p.Name] > len(c.Running()) {
				leader = p
				return nil
			}
		}
		return fmt.Errorf("votes of those who run: %v", votes)
	})
	return leader
}

// Followers returns the peers that run but the leader.
func (c *Cluster) Followers() (all []*Peer) {
	c.t.Helper()
	leader := c.Leader()
	for _, p := range c.Running() {
		if p != leader {
			all = append(all, p)
		}
	}
	return all
}

// Seen is an item of /vera/peers.
type Seen struct {
	Name, ID, Client, Peer, Role string
}

// Known is /vera/peers as a peer tells it.
func (p *Peer) Known() (all []Seen, err error) {
	text, err := p.read("http://" + p.Client + "/vera/peers")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []struct{ Data Seen } }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	for _, item := range list.Items {
		all = append(all, item.Data)
	}
	return all, nil
}

// Get reads a list, as this peer has it.
func (p *Peer) Get(path string) ([]byte, error) { return p.read("http://" + p.Client + path) }

// ReadAdmin reads a page of the admin listener.
func (p *Peer) ReadAdmin(route string) ([]byte, error) { return p.read("http://" + p.Admin + route) }

// Ready is nil when the peer calls itself ready.
func (p *Peer) Ready() error {
	_, err := p.read("http://" + p.Admin + "/readyz?verbose")
	return err
}

// Metric reads one number of /metrics, summed over its labels.
func (p *Peer) Metric(name string) (sum float64, err error) {
	text, err := p.read("http://" + p.Admin + "/metrics")
	if err != nil {
		return 0, err
	}
	found := false
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var value float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &value); err != nil {
			return 0, fmt.Errorf("metric %s: %w", line, err)
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return sum, nil
}

// read gets a page of the peer, with the admin token.
func (p *Peer) read(url string) ([]byte, error) { return p.request(http.MethodGet, url) }

// Post asks the admin listener to do something.
func (p *Peer) Post(route string) error {
	_, err := p.request(http.MethodPost, "http://"+p.Admin+route)
	return err
}

func (p *Peer) request(method, url string) ([]byte, error) {
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := p.c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status + ": " + strings.TrimSpace(string(text)))
	}
	return text, err
}
