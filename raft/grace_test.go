package raft

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// advance lets fake time go on.
func advance(d time.Duration) { <-time.After(d) }

func lose(id vera.SessionID, life uint64, grace time.Duration) state.Command {
	return state.Command{Kind: state.Detach, Session: id, Life: life, Grace: grace}
}

func TestLostSessionEndsAfterItsGraceAndNeverBefore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := open(t, quick(t, filepath.Join(t.TempDir(), "data")))
		for _, grace := range []time.Duration{time.Millisecond, 999 * time.Millisecond, 2 * time.Second, 10 * time.Minute} {
			id := vera.SessionOf([]byte(grace.String()), "")
			life := propose(t, r, state.Command{Kind: state.Open, Session: id, Grace: grace})[0].Life
			propose(t, r, push(id, life, "/data/x", 1))
			propose(t, r, lose(id, life, grace))
			position := r.Feed().Index()
			advance(grace - time.Microsecond)
			synctest.Wait()
			if r.Machine().Session(id) == nil {
				t.Fatalf("%v: ended early", grace)
			}
			advance(2 * time.Microsecond)
			synctest.Wait()
			if l, _ := r.Machine().List("/data/x"); r.Machine().Session(id) != nil || l.Len() != 0 {
				t.Fatalf("%v: still there after its grace", grace)
			}
			outputs := make([]state.Output, 10)
			n, missed := r.Feed().Read(position, outputs)
			if n != 1 || missed || outputs[0].Sessions[0].Reason != vera.Expired || outputs[0].Changes[0].Path != "/data/x" {
				t.Errorf("%v: the feed tells %+v", grace, outputs[:n])
			}
		}
	})
}

func TestSessionThatComesBackLives(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := open(t, quick(t, filepath.Join(t.TempDir(), "data")))
		id, life := session(t, r, "one")
		for range 5 {
			propose(t, r, lose(id, life, time.Second))
			advance(999 * time.Millisecond)
			if reply := propose(t, r, state.Command{Kind: state.Open, Session: id, Grace: time.Second})[0]; !reply.Resumed || reply.Life != life {
				t.Fatalf("came back to another life: %+v", reply)
			}
		}
		advance(time.Hour)
		synctest.Wait()
		s := r.Machine().Session(id)
		if s == nil || s.Since() != 0 {
			t.Fatalf("it is back, but is doubted or gone: %+v", s)
		}
		r.graces.mu.Lock()
		defer r.graces.mu.Unlock()
		if len(r.graces.heap) != 0 || len(r.graces.by) != 0 {
			t.Errorf("%d doubts are timed though none is open", len(r.graces.heap))
		}
	})
}

func TestGraceCountsFromTheStartAfterARestart(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		bubble.Test(t, func(t *testing.T) {
			o := quick(t, filepath.Join(t.TempDir(), "data"))
			r := open(t, o)
			lost, life := session(t, r, "lost")
			propose(t, r, lose(lost, life, 5*time.Second))
			there, _ := session(t, r, "there") // attached when the peer dies: 10 s to come back
			if snapshot {
				if err := r.hraft.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
			}
			advance(4 * time.Second)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			advance(time.Minute) // nobody ran: nobody could come back
			r = open(t, o)
			alive := func() string {
				synctest.Wait()
				return fmt.Sprint(r.Machine().Session(lost) != nil, r.Machine().Session(there) != nil)
			}
			advance(4990 * time.Millisecond)
			early := alive()
			advance(100 * time.Millisecond)
			middle := alive()
			advance(4800 * time.Millisecond)
			late := alive()
			advance(200 * time.Millisecond)
			if over := alive(); early != "true true" || middle != "false true" || late != "false true" || over != "false false" {
				t.Errorf("snapshot %v: %s, %s, %s, %s", snapshot, early, middle, late, over)
			}
			if _, life := session(t, r, "there"); life == 0 {
				t.Error("no new life")
			}
		})
	}
}

// bench is a grace clock of the test's own: looked at when the test says so.
type bench struct {
	*graces
	asked    []func(index, term uint64, err error)
	proposed []state.Command
	term     uint64 // in which this peer leads; 0: it does not
	open     bool   // what missed answers
}

func newBench() *bench {
	b := &bench{graces: newGraces(), term: 3, open: true}
	b.leads = func(term uint64) bool { return term == b.term }
	b.barrier = func(done func(uint64, uint64, error)) { b.asked = append(b.asked, done) }
	b.expire = func(c []state.Command) { b.proposed = append(b.proposed, c...) }
	b.missed = func(*doubt) bool { return b.open }
	b.late = func(time.Duration) {}
	b.lead(true)
	return b
}

func (b *bench) doubt(name string, since uint64, grace time.Duration) {
	id := vera.SessionOf([]byte(name), "")
	b.note([]state.SessionChange{{Session: id, Life: 1, What: state.Detached, Since: since, Grace: grace}})
}

// after lets time go on in steps that are looked at, as run does.
func (b *bench) after(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		advance(min(b.look(), time.Until(end)))
	}
	b.look()
}

func TestStalledTimeIsGivenBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newBench()
		b.doubt("one", 10, 2*time.Second)
		b.after(time.Second)
		advance(time.Hour) // nobody looks
		b.look()
		b.after(800 * time.Millisecond)
		if len(b.asked) != 0 {
			t.Fatal("the time of a stall was counted")
		}
		b.after(200 * time.Millisecond)
		if len(b.asked) != 1 {
			t.Fatalf("%d barriers when the grace is over", len(b.asked))
		}
		// A stall that has just begun when a doubt is stamped.
		b = newBench()
		advance(time.Hour)
		b.doubt("two", 10, 2*time.Second)
		advance(time.Hour)
		b.after(1800 * time.Millisecond)
		if len(b.asked) != 0 {
			t.Fatal("the time of a stall behind the stamp was counted")
		}
	})
}

func TestOneBarrierServesAllThatAreDue(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newBench()
		for i := range 500 {
			b.doubt(fmt.Sprint(i), uint64(i), time.Second)
		}
		b.doubt("later", 1000, 1500*time.Millisecond)
		b.after(1200 * time.Millisecond)
		if len(b.asked) != 1 || len(b.proposed) != 0 {
			t.Fatalf("%d barriers, %d proposed before one was passed", len(b.asked), len(b.proposed))
		}
		b.after(time.Second) // the barrier takes its time; meanwhile another is due
		b.asked[0](77, 3, nil)
		b.look()
		if len(b.proposed) != 500 {
			t.Errorf("%d of the 500 that were due when the barrier was asked for", len(b.proposed))
		}
		for _, c := range b.proposed {
			if c.Kind != state.Expire || c.Since >= 500 {
				t.Errorf("proposed %+v", c)
			}
		}
	})
}

func TestOnlyALeaderExpires(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newBench()
		b.lead(false)
		b.doubt("one", 10, time.Second)
		b.after(time.Minute)
		if len(b.asked) != 0 || len(b.proposed) != 0 {
			t.Fatal("a follower acted on a grace")
		}
		b.lead(true) // it counted all the time: nothing starts anew
		b.look()
		if len(b.asked) != 1 {
			t.Fatalf("%d barriers of a new leader", len(b.asked))
		}
		b.term = 4 // deposed and elected again meanwhile: the proof is of another term
		b.asked[0](77, 3, nil)
		b.look()
		b.term = 0
		b.after(time.Second)
		b.asked[1](78, 4, nil)
		b.look()
		b.after(time.Second)
		b.asked[2](0, 0, errLate(vera.AppliedNo))
		b.look()
		if len(b.proposed) != 0 {
			t.Fatal("expired without a proof")
		}
		b.term = 5
		b.after(time.Second)
		b.asked[3](79, 5, nil)
		b.look()
		if len(b.proposed) != 1 {
			t.Fatal("a leader with a proof does not expire")
		}
		b.after(1500 * time.Millisecond) // the expiry was lost: it is proposed again
		b.asked[4](80, 5, nil)
		b.look()
		if len(b.proposed) != 2 {
			t.Fatal("a lost expiry is not proposed again")
		}
		b.open = false // it took effect
		b.after(1500 * time.Millisecond)
		b.asked[5](81, 5, nil)
		b.look()
		if len(b.proposed) != 2 || len(b.heap) != 0 {
			t.Errorf("%d proposed, %d timed when the doubt is closed", len(b.proposed), len(b.heap))
		}
	})
}
