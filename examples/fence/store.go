package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// store is a count that workers read and write over HTTP. It believes whoever
// writes, but for those that are late, if it looks at the fence.
type store struct {
	fenced bool

	mu      sync.Mutex
	highest uint64 // fence that was seen
	count   int
	written int // writes that were acknowledged
	refused int
}

// request is what a worker sends: GET has no count.
type request struct {
	Fence uint64 `json:"fence"`
	Count int    `json:"count"`
}

// ServeHTTP reads on GET and writes on PUT. A reader's fence counts as much as
// a writer's: what it has read nobody from before may change any more.
func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced && asked.Fence < s.highest {
		s.refused++
		http.Error(w, fmt.Sprintf("the fence is %d, and %d was seen", asked.Fence, s.highest), http.StatusConflict)
		return
	}
	s.highest = max(s.highest, asked.Fence)
	if r.Method == http.MethodPut {
		s.count = asked.Count
		s.written++
	}
	_ = json.NewEncoder(w).Encode(s.count) // a worker that is gone will not miss it
}

// result is what came of all the counting.
func (s *store) result() (written, lost, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written, s.written - s.count, s.refused
}
