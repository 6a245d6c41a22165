package raft

import (
	"container/heap"
	"sync"
	"sync/atomic"
)

// waiters are those who wait until this peer has applied an index.
type waiters struct {
	least atomic.Uint64 // the smallest index waited for, or never
	mu    sync.Mutex
	heap  placed[*waiter] // smallest index first
}

const never = ^uint64(0)

type waiter struct {
	index uint64
	place int // in the heap; -1: no longer
	done  func()
}

func newWaiters() *waiters {
	w := &waiters{}
	w.least.Store(never)
	return w
}

// add has done called once applied has reached index. applied is read after
// the waiter is in place, so that an index applied meanwhile is not missed.
func (w *waiters) add(index uint64, applied func() uint64, done func()) (cancel func()) {
	if applied() >= index {
		done()
		return func() {}
	}
	entry := &waiter{index: index, done: done}
	w.mu.Lock()
	heap.Push(&w.heap, entry)
	w.least.Store(w.heap[0].index)
	w.mu.Unlock()
	w.reached(applied())
	return func() { w.cancel(entry) }
}

func (w *waiters) cancel(entry *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if entry.place >= 0 {
		heap.Remove(&w.heap, entry.place)
		w.settle()
	}
}

// reached tells all that wait for an index up to applied.
func (w *waiters) reached(applied uint64) {
	if applied < w.least.Load() {
		return
	}
	var ready []*waiter
	w.mu.Lock()
	for len(w.heap) > 0 && w.heap[0].index <= applied {
		ready = append(ready, heap.Pop(&w.heap).(*waiter))
	}
	w.settle()
	w.mu.Unlock()
	for _, entry := range ready {
		entry.done()
	}
}

func (w *waiters) settle() {
	if len(w.heap) == 0 {
		w.least.Store(never)
		return
	}
	w.least.Store(w.heap[0].index)
}

func (w *waiter) before(other *waiter) bool { return w.index < other.index }

func (w *waiter) stand(place int) { w.place = place }
