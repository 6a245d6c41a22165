package raft

import (
	"errors"
	"net"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/test/bubble"
)

// table is rounds of which a test is hashicorp/raft.
type table struct {
	*rounds
	t     *testing.T
	now   time.Time
	leads bool
}

func newTable(t *testing.T) *table {
	b := &table{t: t, now: time.Now(), leads: true}
	b.rounds = newRounds(func() bool { return b.leads }, nil)
	return b
}

// gives adds entries, each of a text.
func (b *table) gives(from net.Conn, texts ...string) {
	b.t.Helper()
	var entries [][]byte
	for _, text := range texts {
		entries = append(entries, []byte(text))
	}
	if err := b.add(from, entries); err != nil {
		b.t.Error(err)
	}
}

// begins expects a round, now, of so many entries, the first and the last of a
// text, and returns it as what will be committed.
func (b *table) begins(n int, first, last string) (logs []*hraft.Log) {
	b.t.Helper()
	entries, pause := b.next(b.now)
	if len(entries) != n || string(entries[0]) != first || string(entries[n-1]) != last {
		b.t.Fatalf("a round of %q, or a pause of %v", entries, pause)
	}
	for _, entry := range entries {
		logs = append(logs, &hraft.Log{Data: entry})
	}
	return logs
}

// waits expects no round for a while.
func (b *table) waits(most time.Duration) {
	b.t.Helper()
	if entries, pause := b.next(b.now); entries != nil || pause <= 0 || pause > most {
		b.t.Fatalf("a round of %q, or a pause of %v", entries, pause)
	}
}

// ends commits a round.
func (b *table) ends(logs []*hraft.Log) {
	b.committed(logs)
	b.now = b.ended
}

// A round has all that came while the one before was on its way, in order.
func TestRoundsAreOneAfterAnother(t *testing.T) {
	b, other := newTable(t), &net.TCPConn{}
	b.gives(nil, "a1")
	one := b.begins(1, "a1", "a1")
	b.gives(other, "b1")
	b.gives(nil, "a2")
	b.gives(other, "b2")
	b.waits(roundMost)
	b.committed([]*hraft.Log{{Data: []byte("a1")}, {}}) // the same text, from elsewhere
	b.waits(roundMost)
	b.ends(one)
	two := b.begins(3, "b1", "b2")
	b.gives(nil, "a3")
	b.committed(two[:2])
	b.waits(roundMost)
	b.ends(two[2:])
	b.ends(b.begins(1, "a3", "a3"))
	if entries, pause := b.next(b.now); entries != nil || pause != 0 {
		t.Errorf("of nothing a round of %q, or a pause of %v", entries, pause)
	}
}

// Who had several entries is waited for, a moment; who had one is not, nor is
// anybody when that moment is over.
func TestTheNextRoundWaitsForThoseWhoAreBusy(t *testing.T) {
	b, other := newTable(t), &net.TCPConn{}
	begin := func() {
		b.gives(nil, "a1", "a2")
		b.gives(other, "b1")
		b.ends(b.begins(3, "a1", "b1"))
	}
	begin()
	b.gives(other, "b2")
	b.waits(gatherMost)
	b.gives(nil, "a3", "a4")
	b.ends(b.begins(3, "b2", "a4"))
	b.gives(other, "b3", "b4")
	b.waits(gatherMost)
	b.now = b.now.Add(gatherMost)
	b.ends(b.begins(2, "b3", "b4")) // and who did not come is not waited for again
	b.gives(other, "b5", "b6")
	b.ends(b.begins(2, "b5", "b6"))

	begin()
	b.now = b.now.Add(2 * gatherMost)
	b.gives(other, "b7")
	b.ends(b.begins(1, "b7", "b7"))
	b.gives(nil, "a5")
	b.begins(1, "a5", "a5") // nobody was busy
}

// What hashicorp/raft refuses without a word does not hold up what comes after.
func TestARoundThatIsNotCommittedHoldsNothingUpForLong(t *testing.T) {
	b := newTable(t)
	b.gives(nil, "a1")
	b.begins(1, "a1", "a1")
	b.gives(nil, "a2")
	b.waits(roundMost)
	b.now = b.now.Add(roundMost)
	b.begins(1, "a2", "a2")
}

// A leader that is deposed gives nothing more, also when it leads again; then
// it begins anew.
func TestWhoDoesNotLeadGivesNothing(t *testing.T) {
	b := newTable(t)
	b.gives(nil, "a1", "a2")
	b.begins(2, "a1", "a2")
	b.gives(nil, "a3")
	b.leads = false
	b.deposed()
	if entries, pause := b.next(b.now); entries != nil || pause != 0 {
		t.Errorf("a round of %q, or a pause of %v", entries, pause)
	}
	b.leads = true
	b.gives(&net.TCPConn{}, "b1")
	b.begins(1, "b1", "b1")
}

// What waits is bounded, and what is refused can be handed over again.
func TestWhatWaitsForARoundIsBounded(t *testing.T) {
	b, large := newTable(t), make([]byte, 1<<20)
	b.gives(nil, "a1")
	one := b.begins(1, "a1", "a1")
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = b.add(nil, [][]byte{large})
	}
	if !errors.Is(err, errBehind) || n-1 > roundBytes>>20+1 {
		t.Errorf("%d MiB taken: %v", n-1, err)
	}
	b.ends(one)
	if entries, _ := b.next(b.now); len(entries) != n-1 {
		t.Errorf("%d of %d entries", len(entries), n-1)
	}
	if err := b.add(nil, [][]byte{large}); err != nil {
		t.Error(err)
	}
}

// TestARoundEndsWithItsCommit: hashicorp/raft gives the memory of an entry back
// that it was given, by which rounds know it. Otherwise each would last for
// roundMost.
func TestARoundEndsWithItsCommit(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.close()
		leader := c.leader(c.names...)
		for _, name := range []string{leader, c.others(leader)[0]} {
			began := time.Now()
			for n := range 20 {
				passed := make(chan error)
				c.peers[name].Barrier(func(_ uint64, err error) { passed <- err })
				if err := <-passed; err != nil {
					t.Fatalf("%s, mark %d: %v", name, n, err)
				}
			}
			if took := time.Since(began); took > roundMost {
				t.Errorf("20 rounds for %s took %v", name, took)
			}
		}
	})
}
