package raft

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// Memory is a network and the disks of any number of peers, all in the memory
// of this process: with Options.Memory a whole cluster runs in one test, and in
// fake time if both are made in one bubble of testing/synctest. Whoever waits
// here waits in a way that fake time knows; there are no sockets and no files.
//
// A disk has the name of its peer and outlives it. What was written to it is
// durable at once, or not there at all. All methods may be called from any
// goroutine.
type Memory struct {
	mu      sync.Mutex
	disks   map[string]*memoryDisk
	peers   map[string]*memoryNetwork // that run
	cut     map[way]bool              // nothing arrives that way
	changed chan struct{}             // closed, and another made, when a partition heals
}

// Errors of a disk in Memory.
var (
	// ErrCrashed is what a write of a peer gets that Memory.Crash has killed.
	ErrCrashed = errors.New("the peer has crashed")
	// ErrDisk is what a write to a disk gets that fails.
	ErrDisk = errors.New("input/output error")
)

// NewMemory makes one without any disk.
func NewMemory() *Memory {
	return &Memory{disks: map[string]*memoryDisk{}, peers: map[string]*memoryNetwork{}, cut: map[way]bool{}, changed: make(chan struct{})}
}

// disk returns the disk of that name, an empty one if it is new.
func (m *Memory) disk(name string) *memoryDisk {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.disks[name]
	if d == nil {
		d = newMemoryDisk(name)
		m.disks[name] = d
	}
	return d
}

// Partition keeps two peers apart: nothing that one sends arrives at the other,
// and neither is told. What was on its way arrives when they are healed, if
// somebody still waits for it.
func (m *Memory) Partition(a, b string) {
	m.PartitionOneWay(a, b)
	m.PartitionOneWay(b, a)
}

// PartitionOneWay has nothing arrive that from sends to to. No new stream or
// request comes about between them, in neither direction; open streams still
// work in the other.
func (m *Memory) PartitionOneWay(from, to string) { m.hold(way{from, to}, true) }

// Heal ends what Partition and PartitionOneWay did to two peers.
func (m *Memory) Heal(a, b string) {
	m.hold(way{a, b}, false)
	m.hold(way{b, a}, false)
}

// Isolate partitions a peer from all others that have a disk.
func (m *Memory) Isolate(name string) {
	for _, other := range m.names() {
		if other != name {
			m.Partition(name, other)
		}
	}
}

// HealAll ends all partitions.
func (m *Memory) HealAll() {
	m.mu.Lock()
	var all []way
	for w := range m.cut {
		all = append(all, w)
	}
	m.mu.Unlock()
	for _, w := range all {
		m.hold(w, false)
	}
}

func (m *Memory) names() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.disks {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// hold begins or ends a partition one way.
func (m *Memory) hold(w way, held bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held {
		m.cut[w] = true
	} else {
		delete(m.cut, w)
		close(m.changed)
		m.changed = make(chan struct{})
	}
	for _, of := range []string{w.from, w.to} {
		if n := m.peers[of]; n != nil {
			for _, e := range n.ends(func(string) bool { return true }) {
				e.hold(w, held)
			}
		}
	}
}

// hold holds the lane that leads that way, if the stream has one.
func (p *pipeEnd) hold(w way, held bool) {
	switch w {
	case way{string(p.here), string(p.there)}:
		p.out.change(func() { p.out.held = held })
	case way{string(p.there), string(p.here)}:
		p.in.change(func() { p.in.held = held })
	}
}

// gone forgets a network that ended, unless another of its name came since.
func (m *Memory) gone(n *memoryNetwork) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.peers[n.name] == n {
		delete(m.peers, n.name)
	}
}

// Crash kills a peer: its streams break, nothing of it is written or sent any
// more, and a write that is under way is lost. Options.Fatal is called with
// ErrCrashed if it tries one. Raft.Close must still be called, to stop its
// goroutines; Open then finds the disk as the crash left it.
func (m *Memory) Crash(name string) {
	m.mu.Lock()
	n := m.peers[name]
	m.mu.Unlock()
	m.disk(name).leave()
	if n != nil {
		n.over((*pipeEnd).die)
	}
}

// Hang has every write to a peer's disk wait, until Mend.
func (m *Memory) Hang(name string) { m.disk(name).change(func(d *memoryDisk) { d.hung = true }) }

// Slow has every write to a peer's disk take so long, until Mend.
func (m *Memory) Slow(name string, each time.Duration) {
	m.disk(name).change(func(d *memoryDisk) { d.each = each })
}

// Fail has every write to a peer's disk fail with ErrDisk, until Mend.
func (m *Memory) Fail(name string) {
	m.disk(name).change(func(d *memoryDisk) { d.failing = fmt.Errorf("disk of %s: %w", name, ErrDisk) })
}

// Fill has a peer's disk be so full that pushes are refused, until Mend. It
// still takes writes.
func (m *Memory) Fill(name string) { m.disk(name).change(func(d *memoryDisk) { d.full = true }) }

// Mend makes a peer's disk well again.
func (m *Memory) Mend(name string) {
	m.disk(name).change(func(d *memoryDisk) { d.hung, d.full, d.failing, d.each = false, false, nil, 0 })
}

// Form puts a new cluster of peers with these names onto their disks, which
// must be empty. Everything about it is always the same.
func (m *Memory) Form(names ...string) error {
	cluster := ClusterID(strings.Repeat("f", clusterDigits))
	var together hraft.Configuration
	var all []identity
	for i, name := range names {
		one := newIdentity(name, cluster)
		one.Peer, one.RaftID, one.Formed = fmt.Sprintf("%x", i+1), fmt.Sprintf("%s-%08x", name, i+1), true
		one.id, one.Key = state.PeerID(i+1), keyOf(memoryKey(name))
		all = append(all, one)
		together.Servers = append(together.Servers, hraft.Server{
			ID: hraft.ServerID(one.RaftID), Address: hraft.ServerAddress(m.card(name, one.id).String()),
		})
	}
	first := &hraft.Log{Index: 1, Term: 1, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(together)}
	for _, one := range all {
		disk, err := m.disk(one.Name).claim()
		if err != nil {
			return err
		}
		d := &directory{identity: one, files: disk, claim: disk, cookie: bytes.Repeat([]byte{1}, cookieBytes), key: memoryKey(one.Name)}
		err = errors.Join(d.writeCookie(), d.writeKey(), d.writeIdentity(), disk.SetUint64(termName, 1), disk.StoreLog(first), d.release())
		if err != nil {
			return err
		}
	}
	return nil
}

// card is that of the peer with a name.
func (m *Memory) card(name string, id state.PeerID) card {
	return card{address: name + ":1", key: keyOf(memoryKey(name)), peer: id}
}

// memoryKey is the key of a peer that Form made.
func memoryKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Wipe empties the disk of a peer that does not run: it begins anew.
func (m *Memory) Wipe(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[name] = newMemoryDisk(name)
}
