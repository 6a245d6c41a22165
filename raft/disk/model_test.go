package disk

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// model is what a store should hold: the terms of its entries, and its values.
type model struct {
	first  uint64
	terms  []uint64
	values map[string][]byte
}

func (m *model) last() uint64 { return m.first + uint64(len(m.terms)) - 1 }

func (m *model) check(s *Store) error {
	for name, want := range m.values {
		if got, err := s.Get([]byte(name)); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("value %s is %q, not %q: %v", name, got, want, err)
		}
	}
	return check(s, m.first, m.terms...)
}

func (m *model) delete(lo, hi uint64) {
	switch {
	case len(m.terms) == 0 || hi < m.first || lo > m.last():
	case lo <= m.first && hi >= m.last():
		m.terms = nil
	case lo <= m.first:
		m.terms = m.terms[hi+1-m.first:]
		m.first = hi + 1
	case hi >= m.last():
		m.terms = m.terms[:lo-m.first]
	}
}

func (m *model) store(first, term uint64, n int) {
	if len(m.terms) == 0 || first != m.last()+1 {
		m.first, m.terms = first, nil
	}
	m.terms = append(m.terms, terms(n, term)...)
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{SegmentBytes: rapid.SampledFrom([]int64{minSegment, 6000, 16 << 10}).Draw(t, "segment")}
		s, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		m := model{values: map[string][]byte{}}
		term := uint64(1)
		try := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		store := func(t *rapid.T, first uint64) {
			n := rapid.IntRange(1, 80).Draw(t, "entries")
			try(s.StoreLogs(entries(first, first+uint64(n)-1, term)))
			m.store(first, term, n)
		}
		next := func() uint64 {
			if len(m.terms) == 0 {
				return m.first + 1
			}
			return m.last() + 1
		}
		remove := func(lo, hi uint64) {
			try(s.DeleteRange(lo, hi))
			m.delete(lo, hi)
			term++
		}
		t.Repeat(map[string]func(*rapid.T){
			"":      func(t *rapid.T) { try(m.check(s)) },
			"store": func(t *rapid.T) { store(t, next()) },
			"again": func(t *rapid.T) { store(t, next()) },
			"gap":   func(t *rapid.T) { store(t, next()+rapid.Uint64Range(1, 50).Draw(t, "gap")) },
			"front": func(t *rapid.T) { remove(m.first, m.first+rapid.Uint64Range(0, 120).Draw(t, "n")) },
			"back": func(t *rapid.T) {
				if n := len(m.terms); n > 0 {
					remove(m.last()-rapid.Uint64Range(0, uint64(n-1)).Draw(t, "n"), m.last())
				}
			},
			"set": func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"term", "vote", "other"}).Draw(t, "name")
				m.values[name] = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "value")
				try(s.Set([]byte(name), m.values[name]))
			},
			"reopen": func(t *rapid.T) {
				try(s.Close())
				s, err = Open(dir, o)
				try(err)
			},
		})
	})
}
