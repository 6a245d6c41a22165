package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"vera/test/ports"
)

// zooPeers are three peers of ZooKeeper, with the tick at a second so that
// sessions may end as soon as it lets them: two ticks.
type zooPeers struct {
	all     []*process
	clients []string
}

// zooClasses is where Debian puts ZooKeeper and what it needs.
const zooClasses = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar"

func (z *zooPeers) name() string { return "zookeeper" }

func (z *zooPeers) installed() error {
	if _, err := os.Stat("/usr/share/java/zookeeper.jar"); err != nil {
		return err
	}
	_, err := exec.LookPath("java")
	return err
}

func (z *zooPeers) start(dir string, listen *ports.Block) error {
	z.all, z.clients = nil, nil
	var servers strings.Builder
	for i := range peers {
		fmt.Fprintf(&servers, "server.%d=127.0.0.1:%d:%d\n", i+1, listen.First+3*i+1, listen.First+3*i+2)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return err
	}
	for i := range peers {
		z.clients = append(z.clients, listen.Address(3*i))
		data := peerDir(dir, i)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return err
		}
		config := fmt.Sprintf("tickTime=1000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%d\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n%s",
			data, listen.First+3*i, servers.String())
		file := filepath.Join(dir, fmt.Sprintf("peer-%d.cfg", i))
		err := errors.Join(
			os.WriteFile(filepath.Join(data, "myid"), fmt.Appendln(nil, i+1), 0o600),
			os.WriteFile(file, []byte(config), 0o600))
		if err != nil {
			return err
		}
		p := &process{path: java, log: peerDir(dir, i) + ".log", args: []string{
			"-Xmx2g", "-cp", zooClasses, "-Dzookeeper.root.logger=WARN,CONSOLE", "org.apache.zookeeper.server.quorum.QuorumPeerMain", file,
		}}
		z.all = append(z.all, p)
		if err := p.run(); err != nil {
			return err
		}
	}
	return awaitPut(z)
}

func (z *zooPeers) stop() error            { return killAll(z.all) }
func (z *zooPeers) process(i int) *process { return z.all[i] }

func (z *zooPeers) leader() (leader int, err error) {
	err = await("a leader", func() bool {
		for i, addr := range z.clients {
			said, err := fourLetters(addr, "stat")
			if err == nil && strings.Contains(said, "Mode: leader") {
				leader = i
				return true
			}
		}
		return false
	})
	return leader, err
}

// fourLetters asks a peer one of ZooKeeper's four-letter words.
func fourLetters(addr, word string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(word)); err != nil {
		return "", err
	}
	var said strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			return said.String(), nil
		}
	}
}

// zooClient is one session.
type zooClient struct {
	c       *zk.Conn
	parents map[string]bool
	reading sync.WaitGroup

	mu     sync.Mutex
	conn   net.Conn
	dead   atomic.Bool
	closed chan struct{}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (z *zooPeers) dial(peer int, crash bool) (client, error) {
	c := &zooClient{parents: map[string]bool{}, closed: make(chan struct{})}
	dialer := func(network, addr string, timeout time.Duration) (net.Conn, error) {
		if c.dead.Load() {
			return nil, errors.New("this client is dead")
		}
		conn, err := net.DialTimeout(network, addr, timeout)
		c.mu.Lock()
		c.conn = conn
		c.mu.Unlock()
		return conn, err
	}
	timeout := 20 * time.Second
	if crash {
		timeout = 2 * time.Second
	}
	var events <-chan zk.Event
	var err error
	c.c, events, err = zk.Connect([]string{z.clients[peer]}, timeout, zk.WithLogInfo(false), zk.WithLogger(silent{}), zk.WithDialer(dialer))
	if err != nil {
		return nil, err
	}
	late := time.After(10 * time.Second)
	for c.c.State() != zk.StateHasSession {
		select {
		case <-events:
		case <-late:
			c.c.Close()
			return nil, errors.New("no session within 10 s")
		}
	}
	c.reading.Go(func() {
		for range events {
		}
	})
	return c, nil
}

func (c *zooClient) parent(list string) error {
	if c.parents[list] {
		return nil
	}
	_, err := c.c.Create("/"+list, nil, 0, zk.WorldACL(zk.PermAll))
	if err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return err
	}
	c.parents[list] = true
	return nil
}

func (c *zooClient) put(list string) error {
	if err := c.parent(list); err != nil {
		return err
	}
	_, err := c.c.Create("/"+list+"/e-", entry, zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll))
	return err
}

// watch sets a new watch after each that fired, which is how ZooKeeper's work.
func (c *zooClient) watch(list string, told func()) error {
	if err := c.parent(list); err != nil {
		return err
	}
	_, _, fired, err := c.c.ChildrenW("/" + list)
	if err != nil {
		return err
	}
	c.reading.Go(func() {
		for {
			select {
			case e := <-fired:
				if e.Err != nil {
					return
				}
				told()
			case <-c.closed:
				return
			}
			if _, _, fired, err = c.c.ChildrenW("/" + list); err != nil {
				return
			}
		}
	})
	return nil
}

func (c *zooClient) die() error {
	c.dead.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.Close()
}

func (c *zooClient) close() error {
	close(c.closed)
	c.c.Close()
	c.reading.Wait()
	return nil
}
