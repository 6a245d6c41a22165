package raft

import (
	"math"
	"runtime"
	"sync"

	hraft "github.com/hashicorp/raft"
)

// ahead has a leader's followers write entries while the leader itself does (D.
// Ongaro, Consensus: Bridging Theory and Practice, section 10.2.1).
// hashicorp/raft sends entries when StoreLogs has returned, and takes them for
// written here then. So for a leader in company StoreLogs returns at once, and
// until the entries are written nothing follows from them: no commit of theirs
// is told to a follower (durable) or applied here (await), and nothing else is
// written, so that who follows another leader, and answers it, has written them
// before its term. If the write fails, that holds for ever; the guard ends the
// process.
type ahead struct {
	*guard
	may func() bool // whether this peer leads others; asked by hashicorp/raft's main loop, which alone changes that

	mu      sync.Mutex
	changed sync.Cond
	logs    []*hraft.Log // are being written; nil: none
	failed  bool         // and never will be
	writing sync.WaitGroup
}

func newAhead(g *guard, may func() bool) *ahead {
	a := &ahead{guard: g, may: may}
	a.changed.L = &a.mu
	return a
}

// settle waits until nothing is being written ahead. When a write failed its
// caller ends here, as it would have in the guard.
func (a *ahead) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.logs != nil && !a.failed {
		a.changed.Wait()
	}
	if a.failed {
		runtime.Goexit()
	}
}

// pending returns the entries that are being written; nil: none.
func (a *ahead) pending() []*hraft.Log {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.logs
}

// durable returns the index up to which the log is written. Of what was
// committed before the call, that much may be told.
func (a *ahead) durable() uint64 {
	if logs := a.pending(); logs != nil {
		return logs[0].Index - 1
	}
	return math.MaxUint64
}

// await waits until the log is written up to an index.
func (a *ahead) await(index uint64) {
	if a.durable() < index {
		a.settle()
	}
}

// StoreLog writes one entry.
func (a *ahead) StoreLog(l *hraft.Log) error { return a.StoreLogs([]*hraft.Log{l}) }

// StoreLogs writes entries, those of a leader's clients while it goes on. What
// else is in the log hashicorp/raft acts upon itself.
func (a *ahead) StoreLogs(logs []*hraft.Log) error {
	a.settle()
	if !commands(logs) || !a.may() {
		return a.guard.StoreLogs(logs)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logs = logs
	a.writing.Go(func() { a.write(logs) })
	return nil
}

func commands(logs []*hraft.Log) bool {
	for _, l := range logs {
		if l.Type != hraft.LogCommand {
			return false
		}
	}
	return len(logs) > 0
}

func (a *ahead) write(logs []*hraft.Log) {
	written := false
	defer func() { // also when the guard ends this goroutine
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.failed = !written; written {
			a.logs = nil
		}
		a.changed.Broadcast()
	}()
	written = a.guard.StoreLogs(logs) == nil
}

// GetLog reads an entry, also one that is being written.
func (a *ahead) GetLog(index uint64, l *hraft.Log) error {
	logs := a.pending()
	if len(logs) > 0 && index >= logs[0].Index && index-logs[0].Index < uint64(len(logs)) {
		*l = *logs[index-logs[0].Index]
		return nil
	}
	return a.guard.GetLog(index, l)
}

// LastIndex returns the index of the newest entry.
func (a *ahead) LastIndex() (uint64, error) {
	if logs := a.pending(); logs != nil {
		return logs[len(logs)-1].Index, nil
	}
	return a.guard.LastIndex()
}

// DeleteRange deletes entries.
func (a *ahead) DeleteRange(from, to uint64) error {
	a.settle()
	return a.guard.DeleteRange(from, to)
}

// Set keeps a value.
func (a *ahead) Set(name, value []byte) error {
	a.settle()
	return a.guard.Set(name, value)
}

// SetUint64 keeps a number.
func (a *ahead) SetUint64(name []byte, n uint64) error {
	a.settle()
	return a.guard.SetUint64(name, n)
}

// Close closes the log once nothing is being written.
func (a *ahead) Close() error {
	defer a.writing.Wait()
	return a.guard.Close()
}
