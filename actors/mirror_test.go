package actors

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"vera"
	"vera/raft/state"
)

// history is what one list was after each index that changed it.
type history struct {
	log    *memory
	path   vera.Path
	mu     sync.Mutex
	states []past // indexes rising
}

type past struct {
	index uint64
	list  *state.List
}

// items are the first of the list, all with vera.NoLimit.
func (p past) items(limit int) []string {
	all := []string{}
	for it := range p.list.First(limit) {
		all = append(all, line(it.Version, it.Updated, it.Session.String(), it.Data))
	}
	return all
}

// line is an item as history compares it.
func line(version, updated uint64, session string, data []byte) string {
	return fmt.Sprintf("%d/%d %s %s", version, updated, session, data)
}

// record has a log keep the history of a list. It must be called before the
// log applies anything for others.
func record(l *memory, path vera.Path) *history {
	h := &history{log: l, path: path, states: []past{{0, state.NewList(0, nil)}}}
	l.applied = func(out state.Output) {
		for _, c := range out.Changes {
			if c.Path == path {
				h.mu.Lock()
				h.states = append(h.states, past{out.Index, c.After})
				h.mu.Unlock()
			}
		}
	}
	return h
}

// at is the list at an index. Readers may see an entry a moment before it is
// written down here.
func (h *history) at(index uint64) past {
	for index != latest && h.log.settled.Load() < index {
		runtime.Gosched()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i, found := slices.BinarySearchFunc(h.states, index, func(p past, index uint64) int {
		switch {
		case p.index < index:
			return -1
		case p.index > index:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return h.states[i]
}

const latest = ^uint64(0)

func (h *history) last() past { return h.at(latest) }

// mirror is what a client knows of a list from what it was told, and judges
// whether that could be so.
type mirror struct {
	history *history
	limit   int
	known   map[uint64]string
	index   uint64
	told    int // notifications
}

func newMirror(h *history, limit int) *mirror { return &mirror{history: h, limit: limit} }

func lines(all []item) map[uint64]string {
	known := map[uint64]string{}
	for _, it := range all {
		known[it.Version] = line(it.Version, it.Updated, it.Session, it.Data)
	}
	return known
}

// begin takes the answer to watch, or a reset.
func (m *mirror) begin(t *told) error {
	if t.Items == nil {
		return fmt.Errorf("no items: %+v", t)
	}
	m.known = lines(*t.Items)
	return m.agree(t)
}

// hear takes a notification.
func (m *mirror) hear(t *told) error {
	m.told++
	if t.Reset {
		return m.begin(t)
	}
	if m.known == nil {
		return fmt.Errorf("a difference from nothing: %+v", t)
	}
	if len(t.Added)+len(t.Updated)+len(t.Removed) == 0 {
		return fmt.Errorf("a notification without a difference at %d", t.Index)
	}
	for _, it := range t.Removed {
		if _, known := m.known[it.Version]; !known || it.Reason == "" {
			return fmt.Errorf("removed %+v, known %v", it, m.known)
		}
		delete(m.known, it.Version)
	}
	for _, it := range t.Added {
		if _, known := m.known[it.Version]; known {
			return fmt.Errorf("added %+v, which was there", it)
		}
		m.known[it.Version] = line(it.Version, it.Updated, it.Session, it.Data)
	}
	for _, it := range t.Updated {
		now := line(it.Version, it.Updated, it.Session, it.Data)
		if was, known := m.known[it.Version]; !known || was == now {
			return fmt.Errorf("updated %+v, known %q", it, was)
		}
		m.known[it.Version] = now
	}
	if t.Items != nil && !maps.Equal(lines(*t.Items), m.known) {
		return fmt.Errorf("the difference does not lead to the items at %d", t.Index)
	}
	return m.agree(t)
}

// agree compares what is known with what the list was.
func (m *mirror) agree(t *told) error {
	if t.Index < m.index {
		return fmt.Errorf("index %d behind %d", t.Index, m.index)
	}
	m.index = t.Index
	p := m.history.at(t.Index)
	want := p.items(m.limit)
	got := make([]string, 0, len(m.known))
	for _, version := range slices.Sorted(maps.Keys(m.known)) {
		got = append(got, m.known[version])
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("at %d told\n %s\nit was\n %s", t.Index, strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
	etag := p.index
	if p.list.Len() == 0 {
		etag = 0
	}
	if t.ETag != strconv.FormatUint(etag, 10) {
		return fmt.Errorf("etag %s at %d, want %d", t.ETag, t.Index, etag)
	}
	return nil
}

// final says whether the last state told is the list as it is.
func (m *mirror) final() bool {
	want := m.history.last().items(m.limit)
	if len(want) != len(m.known) {
		return false
	}
	for _, w := range want {
		version, _ := strconv.ParseUint(w[:strings.IndexByte(w, '/')], 10, 64)
		if m.known[version] != w {
			return false
		}
	}
	return true
}

// follow checks everything that a client was told of one list, from the answer
// to its watch on, and that nothing ever went back.
func (m *mirror) follow(t *testing.T, all []told, rid string) {
	t.Helper()
	newest := uint64(0)
	for i := range all {
		one := &all[i]
		if one.Index != 0 {
			if one.Index < newest {
				t.Errorf("index %d is told after %d", one.Index, newest)
			}
			newest = one.Index
		}
		var err error
		switch {
		case one.RID != "" && one.RID == rid:
			err = m.begin(one)
		case one.Action == "notify" && one.Path == string(m.history.path):
			err = m.hear(one)
		}
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}
