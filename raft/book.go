package raft

import (
	"context"
	"net"
	"sync"
)

// book is what others told of the cluster's peers and the log has not, or not
// yet: a peer that comes back after all others were replaced finds them by it.
// It holds one configuration, told by a peer of the one before, and one place a
// peer; and rumours, see there.
type book struct {
	mu      sync.Mutex
	index   uint64            // of the configuration told
	told    map[string]bool   // its keys, which are trusted until the log is as far, and whether they vote
	places  map[string]string // by key: where a peer says it is; beats its card
	rumours map[string]rumour // by the key of who spread it, at most maxRumours
}

func newBook() *book {
	return &book{told: map[string]bool{}, places: map[string]string{}, rumours: map[string]rumour{}}
}

// tell takes a configuration that is later than the log's, and what was told
// before.
func (b *book) tell(index uint64, servers []server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if index <= b.index {
		return
	}
	b.index = index
	clear(b.told)
	for _, s := range servers {
		if c, err := s.card(); err == nil {
			b.told[c.key] = s.Voter
			b.places[c.key] = c.address
		}
	}
}

// vouches says whether a key was told, and the log has not come so far.
func (b *book) vouches(key string, applied uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, told := b.told[key]
	return told && b.index > applied
}

// votes returns who votes, by key, in the configuration told, if it is later
// than the log's.
func (b *book) votes(applied uint64) (keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, votes := range b.told {
		if votes && b.index > applied {
			keys = append(keys, key)
		}
	}
	return keys
}

// targets returns where those told can be spoken with.
func (b *book) targets(applied uint64) (all []target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range b.told {
		if address := b.places[key]; address != "" && b.index > applied {
			all = append(all, target{address: address, key: key})
		}
	}
	return all
}

// forget forgets what was told.
func (b *book) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index = 0
	clear(b.told)
}

// place takes where a peer says it is.
func (b *book) place(c card) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.places[c.key] = c.address
}

// keep forgets the places of all whom trusted does not know.
func (b *book) keep(trusted func(key string) bool) {
	b.mu.Lock()
	var keys []string
	for key := range b.places {
		keys = append(keys, key)
	}
	b.mu.Unlock()
	for _, key := range keys {
		if !trusted(key) {
			b.mu.Lock()
			delete(b.places, key)
			b.mu.Unlock()
		}
	}
}

func (b *book) locate(to target) target {
	b.mu.Lock()
	defer b.mu.Unlock()
	if address := b.places[to.key]; to.key != "" && address != "" {
		to.address = address
	}
	return to
}

// guided is a network that finds peers where they are now.
type guided struct {
	network
	book *book
}

func (g guided) call(ctx context.Context, to target, what string, body []byte) ([]byte, error) {
	return g.network.call(ctx, g.book.locate(to), what, body)
}

func (g guided) dial(ctx context.Context, to target, kind string) (net.Conn, error) {
	return g.network.dial(ctx, g.book.locate(to), kind)
}
