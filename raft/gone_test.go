package raft

import (
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// ear is a leader's silences of the test's own: looked at when the test says so.
type ear struct {
	*silences
	asked    []func(index, term uint64, err error)
	proposed []state.Command
	leads    uint64 // the term in which this peer leads; 0: none
	known    []state.Peer
	out      map[state.PeerID]bool // no members
}

// newEar leads in term 3 and is peer 1 of three.
func newEar() *ear {
	e := &ear{silences: newSilences(1, 2*time.Second, 500*time.Millisecond, 10*time.Second), leads: 3, out: map[state.PeerID]bool{}}
	e.silences.leads = func(term uint64) bool { return e.leads != 0 && term == e.leads }
	e.barrier = func(done func(uint64, uint64, error)) { e.asked = append(e.asked, done) }
	e.expire = func(c []state.Command) { e.proposed = append(e.proposed, c...) }
	e.known = []state.Peer{{Peer: 1, Incarnation: 9}, {Peer: 2, Incarnation: 4}, {Peer: 3, Incarnation: 5}}
	e.peers = func() []state.Peer { return e.known }
	e.member = func(id state.PeerID) bool { return !e.out[id] }
	e.lead(true)
	return e
}

// after lets time go on in steps that are looked at, as run does. Who speaks is
// heard each time, and own marks go on passing once one has.
func (e *ear) after(d time.Duration, speak ...state.Peer) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		advance(min(e.look(), time.Until(end)))
		if e.own != 0 {
			e.passed(e.own)
		}
		for _, p := range speak {
			e.heard(p.Peer, p.Incarnation, e.term)
		}
	}
	e.look()
}

// prove passes the oldest barrier that was asked for.
func (e *ear) prove(term uint64, err error) {
	done := e.asked[0]
	e.asked = e.asked[1:]
	done(77, term, err)
	e.look()
}

func TestSilentPeerIsDeclaredGoneOnceTheLeaderIsProved(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEar()
		speaks := e.known[1]
		e.after(time.Minute)
		if len(e.asked) != 0 {
			t.Fatal("silence counts though no own mark passed in the term")
		}
		e.passed(2)
		e.after(time.Minute, e.known...)
		if len(e.asked) != 0 {
			t.Fatal("silence counts by a mark of another term")
		}
		e.passed(3)
		e.after(1900*time.Millisecond, speaks)
		if len(e.asked) != 0 {
			t.Fatal("declared gone before its time")
		}
		e.after(200*time.Millisecond, speaks)
		if len(e.asked) != 1 || len(e.proposed) != 0 {
			t.Fatalf("%d barriers, %d proposed", len(e.asked), len(e.proposed))
		}
		e.prove(3, nil)
		want := state.Command{Kind: state.PeerGone, Peer: 3, Incarnation: 5, Grace: 10 * time.Second}
		if len(e.proposed) != 1 || e.proposed[0].Peer != want.Peer || e.proposed[0].Incarnation != want.Incarnation || e.proposed[0].Grace != want.Grace {
			t.Fatalf("proposed %+v", e.proposed)
		}
		e.after(900*time.Millisecond, speaks)
		if len(e.asked) != 0 {
			t.Error("declared gone again at once")
		}
		e.after(200*time.Millisecond, speaks) // it was lost
		e.prove(3, nil)
		if len(e.proposed) != 2 {
			t.Error("a declaration that was lost is not repeated")
		}
		e.known[2].Gone = true
		e.after(time.Minute, speaks)
		if len(e.asked) != 0 {
			t.Error("somebody who is gone is declared gone")
		}
	})
}

func TestNobodyIsDeclaredGoneWithoutReason(t *testing.T) {
	for name, change := range map[string]func(e *ear){
		"it spoke before the proof": func(e *ear) { e.heard(2, 4, 3); e.heard(3, 5, 3); e.prove(3, nil) },
		"deposed before the proof":  func(e *ear) { e.leads = 0; e.prove(3, nil) },
		"elected again meanwhile":   func(e *ear) { e.leads = 4; e.prove(3, nil) },
		"the barrier failed":        func(e *ear) { e.prove(0, errLate(vera.AppliedNo)) },
		"it ceased to lead":         func(e *ear) { e.lead(false); e.prove(3, nil) },
		"another incarnation began": func(e *ear) {
			e.known[1].Incarnation, e.known[2].Incarnation = 5, 6
			e.heard(2, 5, 3)
			e.heard(3, 6, 3)
			e.prove(3, nil)
		},
	} {
		bubble.Test(t, func(t *testing.T) {
			e := newEar()
			e.passed(3)
			e.after(2100 * time.Millisecond)
			if len(e.asked) != 1 {
				t.Fatalf("%d barriers", len(e.asked))
			}
			change(e)
			if len(e.proposed) != 0 {
				t.Errorf("%s: proposed %+v", name, e.proposed)
			}
		})
	}
}

func TestSilenceIsCountedByPatience(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEar()
		e.passed(3)
		e.after(time.Second)
		advance(time.Hour) // this peer stood still
		e.after(800 * time.Millisecond)
		if len(e.asked) != 0 {
			t.Fatal("the time of a stall was counted")
		}
		e.after(300 * time.Millisecond)
		if len(e.asked) != 1 {
			t.Fatal("nobody is declared gone after a stall")
		}
	})
}

func TestIncarnationThatIsOverDoesNotSpeakForTheNext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEar()
		e.passed(3)
		old := state.Peer{Peer: 3, Incarnation: 4}
		e.after(2100*time.Millisecond, e.known[1], old)
		e.prove(3, nil)
		if len(e.proposed) != 1 || e.proposed[0].Peer != 3 {
			t.Errorf("proposed %+v", e.proposed)
		}
	})
}

func TestRemovedPeerIsDeclaredGoneAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEar()
		e.passed(3)
		e.out[2] = true
		e.look()
		if len(e.asked) != 1 {
			t.Fatal("it is waited for")
		}
		e.heard(2, 4, 3) // what it handed over before its removal
		e.prove(3, nil)
		if len(e.proposed) != 1 || e.proposed[0].Peer != 2 || e.proposed[0].Incarnation != 4 {
			t.Errorf("proposed %+v", e.proposed)
		}
	})
}

// A peer that is declared gone though it lives comes up anew, and all that it
// had under way is applied once, in its order, behind its PeerUp.
func TestPeerThatIsDeclaredGoneComesUpAnew(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		g.holding(true)
		synctest.Wait()
		told := 0
		send := func(n int) {
			g.propose([]state.Command{push(id, life, "/data/x", n), push(id, life, "/data/x", n+1)}, func(r []state.Reply, err error) {
				if err != nil || r[0].Code != vera.OK || r[1].Code != vera.OK {
					t.Errorf("%+v %v", r, err)
				}
				told++
			})
		}
		send(0)
		send(2)
		synctest.Wait()
		gone := state.Batch{Peer: 9, Commands: []state.Command{{Kind: state.PeerGone, Peer: 7, Incarnation: 1, Grace: time.Second}}}
		g.mu.Lock()
		g.log = append([][]byte{gone.Append(nil)}, g.log...) // before what is under way
		g.mu.Unlock()
		send(4)
		g.holding(false)
		synctest.Wait()
		l, _ := g.fsm.machine.List("/data/x")
		if peer := g.fsm.machine.Peer(7); told != 3 || l.Len() != 6 || peer.Incarnation != 2 || peer.Gone || peer.Sequence != 7 {
			t.Errorf("%d told, %d items, %+v", told, l.Len(), peer)
		}
		n := 0
		for item := range l.All() {
			if want := push(id, life, "/data/x", n).Data; string(item.Data) != string(want) {
				t.Errorf("item %d says %s", n, item.Data)
			}
			n++
		}
	})
}
