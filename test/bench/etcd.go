package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"vera/test/ports"
)

// etcdPeers are three peers of etcd, with its own defaults.
type etcdPeers struct {
	all       []*process
	endpoints []string
}

func (e *etcdPeers) name() string { return "etcd" }

func (e *etcdPeers) installed() error {
	_, err := exec.LookPath("etcd")
	return err
}

func (e *etcdPeers) start(dir string, listen *ports.Block) error {
	e.all, e.endpoints = nil, nil
	url := func(i int) string { return "http://" + listen.Address(i) }
	var cluster []string
	for i := range peers {
		cluster = append(cluster, fmt.Sprintf("peer-%d=%s", i, url(2*i+1)))
	}
	for i := range peers {
		e.endpoints = append(e.endpoints, url(2*i))
		p := &process{path: "etcd", log: peerDir(dir, i) + ".log", args: []string{
			"--name", fmt.Sprintf("peer-%d", i), "--data-dir", peerDir(dir, i),
			"--listen-client-urls", url(2 * i), "--advertise-client-urls", url(2 * i),
			"--listen-peer-urls", url(2*i + 1), "--initial-advertise-peer-urls", url(2*i + 1),
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new", "--log-level", "error",
			"--quota-backend-bytes", "8589934592",
		}}
		p.path, _ = exec.LookPath("etcd") // installed said that it is there
		e.all = append(e.all, p)
		if err := p.run(); err != nil {
			return err
		}
	}
	return awaitPut(e)
}

func (e *etcdPeers) stop() error            { return killAll(e.all) }
func (e *etcdPeers) process(i int) *process { return e.all[i] }

func (e *etcdPeers) leader() (leader int, err error) {
	err = await("a leader", func() bool {
		for i, endpoint := range e.endpoints {
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop(), DialTimeout: time.Second})
			if err != nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			status, err := c.Status(ctx, endpoint)
			cancel()
			_ = c.Close()
			if err == nil && status.Leader == status.Header.MemberId {
				leader = i
				return true
			}
		}
		return false
	})
	return leader, err
}

// etcdClient has one gRPC connection and one lease.
type etcdClient struct {
	c       *clientv3.Client
	lease   clientv3.LeaseID
	made    int
	ctx     context.Context
	cancel  context.CancelFunc
	reading sync.WaitGroup

	mu   sync.Mutex
	conn net.Conn
	dead atomic.Bool
}

// leaseSeconds is how long entries outlive a client: long under load, where
// nobody dies, and the least that etcd grants where one does.
func leaseSeconds(crash bool) int64 {
	if crash {
		return 1
	}
	return 60
}

func (e *etcdPeers) dial(peer int, crash bool) (client, error) {
	c := &etcdClient{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	dialer := func(ctx context.Context, addr string) (net.Conn, error) {
		if c.dead.Load() {
			return nil, errors.New("this client is dead")
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(addr, "http://"))
		c.mu.Lock()
		c.conn = conn
		c.mu.Unlock()
		return conn, err
	}
	var err error
	c.c, err = clientv3.New(clientv3.Config{
		Endpoints: []string{e.endpoints[peer]}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second, Context: c.ctx,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(dialer), grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	granted, err := c.c.Grant(ctx, leaseSeconds(crash))
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.lease = granted.ID
	alive, err := c.c.KeepAlive(c.ctx, c.lease)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.reading.Go(func() {
		for range alive {
		}
	})
	return c, nil
}

func (c *etcdClient) put(list string) error {
	c.made++
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	_, err := c.c.Put(ctx, fmt.Sprintf("%s/%x-%d", list, c.lease, c.made), string(entry), clientv3.WithLease(c.lease))
	return err
}

func (c *etcdClient) watch(list string, told func()) error {
	changes := c.c.Watch(c.ctx, list+"/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	select {
	case first := <-changes:
		if first.Err() != nil {
			return first.Err()
		}
	case <-time.After(10 * time.Second):
		return errors.New("the watch was not confirmed within 10 s")
	}
	c.reading.Go(func() {
		for range changes {
			told()
		}
	})
	return nil
}

func (c *etcdClient) die() error {
	c.dead.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.Close()
}

func (c *etcdClient) close() error {
	c.cancel()
	err := c.c.Close()
	c.reading.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
