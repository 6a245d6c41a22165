package raft

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/rs/zerolog"

	"vera/raft/state"
	"vera/test/bubble"
)

func TestHashesCompareWhatIsKept(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	h := newHashes()
	var all []point // of every index, as a model
	add := func(entries int) {
		var batch []point
		for range entries {
			last := point{}
			if len(all) > 0 {
				last = all[len(all)-1]
			}
			p := point{uint64(len(all) + 1), last.hash}
			if random.IntN(3) > 0 { // else it holds no command
				p.hash = random.Uint64()
				batch = append(batch, p)
			}
			all = append(all, p)
		}
		h.add(batch, all[len(all)-1])
	}
	told := 0
	for range 400 {
		add(random.IntN(100))
		for range 20 {
			index := 1 + random.IntN(len(all)+10)
			if index > len(all) {
				if _, told := h.compare(point{uint64(index), 0}); told {
					t.Fatalf("told of %d when %d is applied", index, len(all))
				}
				continue
			}
			p := all[index-1]
			same, ok := h.compare(p)
			other, _ := h.compare(point{p.index, p.hash + 1})
			if ok && (!same || other) {
				t.Fatalf("%+v compares as %v, another hash as %v", p, same, other)
			}
			if !ok && len(all)-index < hashesKept && h.from > 0 {
				t.Fatalf("%d of %d is not kept", index, len(all))
			}
			if ok {
				told++
			}
		}
	}
	if told < 1000 || h.from == 0 {
		t.Errorf("%d told", told)
	}
	h.restart(point{50_000, 7})
	for p, want := range map[point][2]bool{{49_999, 7}: {}, {50_000, 7}: {true, true}, {50_000, 8}: {false, true}, {50_001, 7}: {}} {
		if same, told := h.compare(p); (same || told) && [2]bool{same, told} != want || want[1] && !told {
			t.Errorf("%+v after a restart: %v %v", p, same, told)
		}
	}
}

func TestMarksComeBack(t *testing.T) {
	for _, m := range []mark{{peer: 1 << 63, incarnation: 300, number: 1}, {7, 1, 1 << 40, point{1 << 50, 1 << 63}}} {
		entry := m.append(nil)
		back, err := parseMark(entry)
		if err != nil || back != m || !isMark(entry) {
			t.Errorf("%+v comes back as %+v, %v", m, back, err)
		}
		if m.point.index == 0 {
			continue
		}
		if back, err := parseMark(append(entry, 1, 2)); err != nil || back != m {
			t.Errorf("with what a newer peer adds: %+v, %v", back, err)
		}
		old := mark{peer: m.peer, incarnation: m.incarnation, number: m.number}
		plain := len(old.append(nil))
		for n := range entry {
			back, err := parseMark(entry[:n])
			if n == plain && (err != nil || back != old) || n != plain && err == nil {
				t.Errorf("%d of %d bytes: %+v, %v", n, len(entry), back, err)
			}
		}
	}
}

// trio is three peers on a shared log.
func trio(t *testing.T, logs *bytes.Buffer) *shared {
	s := newShared(t, rand.New(rand.NewPCG(1, 1)), 3, 5*time.Second)
	for _, c := range s.peers {
		c.fsm.fellows.log = zerolog.New(logs)
		c.fsm.fellows.found = c.fsm.metrics.diverged
	}
	s.heal()
	return s
}

func (s *shared) pulse() {
	for _, c := range s.peers {
		c.announce()
	}
	s.heal()
}

func TestDivergenceIsFoundAndToldLoudly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		s := trio(t, &logs)
		id, life := s.peers[0].session("one")
		for range 3 {
			s.pulse()
		}
		if logs.Len() > 0 {
			t.Fatalf("all is well, but: %s", logs.String())
		}
		// The third reads another entry than the others.
		honest := state.Batch{Peer: 1, Incarnation: 1, First: 3, Commands: []state.Command{push(id, life, "/data/x", 1)}}
		forged := state.Batch{Peer: 1, Incarnation: 1, First: 3, Commands: []state.Command{push(id, life, "/data/x", 2)}}
		s.peers[0].propose(honest.Commands, func([]state.Reply, error) {})
		synctest.Wait()
		s.commit(1)
		s.peers[0].apply(1)
		s.peers[1].apply(1)
		sick := s.peers[2]
		sick.fsm.ApplyBatch([]*hraft.Log{{Index: uint64(len(s.log)), Term: s.term, Type: hraft.LogCommand, Data: forged.Append(nil)}})
		sick.applied++
		s.pulse()
		s.pulse()
		for i, want := range []string{"", "", "its state differs from that of 0000000000000001, 0000000000000002"} {
			if got := s.peers[i].fsm.fellows.diverged(); got != want {
				t.Errorf("peer %d says %q", i+1, got)
			}
		}
		if n := strings.Count(logs.String(), "DIVERGENCE"); n != 4 || !strings.Contains(logs.String(), `"other":"0000000000000003"`) || !strings.Contains(logs.String(), `"index":`) {
			t.Errorf("%d lines; each of the three is to name each that differs, once:\n%s", n, logs.String())
		}
		// With the state of another it is well again.
		s.peers[0].propose([]state.Command{push(id, life, "/data/x", 3)}, func([]state.Reply, error) {})
		synctest.Wait()
		s.commit(1)
		s.peers[0].apply(1)
		sick.install(s.peers[0])
		s.heal()
		s.pulse()
		s.pulse()
		for _, c := range s.peers {
			if got := c.fsm.fellows.diverged(); got != "" {
				t.Errorf("peer %d still says %q", c.id, got)
			}
		}
	})
}

func TestOfTwoThatDifferNobodyIsRight(t *testing.T) {
	f := newFellows(1, zerolog.Nop())
	f.restart(point{10, 5})
	f.heard(mark{peer: 2, point: point{10, 6}})
	if f.diverged() == "" {
		t.Error("a peer takes itself for right against another")
	}
	f.heard(mark{peer: 3, point: point{10, 5}})
	if f.diverged() != "" {
		t.Errorf("with a third that agrees: %q", f.diverged())
	}
	f.keep(func(id state.PeerID) bool { return id == 2 })
	if f.diverged() == "" {
		t.Error("who was removed still counts")
	}
}
