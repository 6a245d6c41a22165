package raft

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	hraft "github.com/hashicorp/raft"
)

// stores is where the log and Raft's few durable values are kept.
type stores interface {
	hraft.LogStore
	hraft.StableStore
	Close() error
}

// guard stands between hashicorp/raft and the disk. hashicorp/raft takes a
// failed write for a lost election and goes on, or panics without saying why.
// But after one failed fsync nobody knows what the disk holds, so the first
// error here ends the process, in a sentence, and the goroutine that met it:
// nothing is voted for or acknowledged any more.
type guard struct {
	stores
	fatal   func(error)
	running atomic.Bool // not while it opens: then errors are returned
	closing atomic.Bool // then nobody is told any more
	once    sync.Once
}

func (g *guard) check(what string, err error) error {
	if err == nil || !g.running.Load() {
		return err
	}
	g.once.Do(func() {
		if g.closing.Load() {
			return
		}
		g.fatal(fmt.Errorf("the disk failed, so this peer must not go on: %s: %w", what, err))
	})
	runtime.Goexit()
	return err
}

// IsMonotonic says whether the log must not have gaps; see hraft.MonotonicLogStore.
func (g *guard) IsMonotonic() bool {
	m, ok := g.stores.(hraft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// GetLog reads an entry. That there is none is no failure of the disk.
func (g *guard) GetLog(index uint64, l *hraft.Log) error {
	err := g.stores.GetLog(index, l)
	if errors.Is(err, hraft.ErrLogNotFound) {
		return err
	}
	return g.check("reading the log", err)
}

// StoreLog writes one entry.
func (g *guard) StoreLog(l *hraft.Log) error {
	return g.check("writing the log", g.stores.StoreLog(l))
}

// StoreLogs writes entries.
func (g *guard) StoreLogs(logs []*hraft.Log) error {
	return g.check("writing the log", g.stores.StoreLogs(logs))
}

// DeleteRange deletes entries.
func (g *guard) DeleteRange(from, to uint64) error {
	return g.check("shortening the log", g.stores.DeleteRange(from, to))
}

// Set keeps a value.
func (g *guard) Set(name, value []byte) error {
	return g.check("writing the vote", g.stores.Set(name, value))
}

// SetUint64 keeps a number.
func (g *guard) SetUint64(name []byte, n uint64) error {
	return g.check("writing the term", g.stores.SetUint64(name, n))
}
