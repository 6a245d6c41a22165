package history

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"vera"
)

// hand writes a history by hand: each moment is a millisecond.
type hand struct {
	r *Recorder
	a *Life
	b *Life
}

func byHand() *hand {
	x := &hand{r: NewRecorder()}
	x.r.clock = func() time.Duration { return time.Duration(x.r.seq) * time.Millisecond }
	x.a, x.b = x.r.Begin("A"), x.r.Begin("B")
	x.a.Alive, x.b.Alive = true, true
	return x
}

const theList = "/data/l"

func (x *hand) call(l *Life, o Operation) *Operation {
	o.Path, o.Limit, o.Life, o.Connection = theList, vera.NoLimit, l, "of "+l.Session
	return x.r.Call(o)
}

// is is the list that an answer tells of.
func is(index, etag uint64, items ...Item) Message {
	return Message{Code: vera.OK, Index: index, ETag: etag, Items: append([]Item{}, items...), Total: len(items)}
}

func item(version uint64, session, data string) Item {
	return Item{Version: version, Session: session, Data: json.RawMessage(data)}
}

func (x *hand) push(l *Life, data string, answer Message, version uint64) *Operation {
	o := x.call(l, Operation{Action: vera.ActionPush, Data: data})
	answer.Version = version
	x.r.Return(o, answer)
	return o
}

func (x *hand) get(l *Life, consistent bool, answer Message) {
	x.r.Return(x.call(l, Operation{Action: vera.ActionGet, Consistent: consistent}), answer)
}

func (x *hand) final(index, etag uint64, items ...Item) {
	p := Peer{Name: "p", Index: index, Lists: map[string]Listed{}}
	if len(items) > 0 {
		p.Lists[theList] = Listed{etag, items}
	}
	x.r.Final(p)
}

// judge has exactly these violations be found.
func (x *hand) judge(t *testing.T, want ...Name) {
	t.Helper()
	found := x.r.History(false).Check()
	slices.Sort(want)
	if got := Names(found); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v:\n%s", got, want, Text(found))
	}
}

var one, two = item(2, "A", `{"n":1}`), item(3, "B", `{"n":2}`)

func TestTwoPushesInOrder(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.push(x.b, `{"n":2}`, is(3, 3, one, two), 3)
	x.get(x.b, true, is(3, 3, one, two))
	x.get(x.a, false, is(2, 2, one))
	x.final(4, 3, one, two)
	x.judge(t)
}

func TestAConsistentReadThatIsNot(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.push(x.b, `{"n":2}`, is(3, 3, one, two), 3)
	x.get(x.a, true, is(2, 2, one))
	x.final(4, 3, one, two)
	x.judge(t, StaleRead, NotLinearizable)
}

// Without indexes that give it away, only the search for an order finds it.
func TestAConsistentReadWithAForgedIndex(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.get(x.b, true, is(2, 0))
	x.final(2, 2, one)
	x.judge(t, Diverged, LostItem, NotLinearizable)
}

func TestAPushOfWhichNobodyHeard(t *testing.T) {
	for _, done := range []bool{true, false} {
		x := byHand()
		x.call(x.a, Operation{Action: vera.ActionPush, Data: `{"n":1}`})
		if done {
			x.get(x.b, true, is(2, 2, one))
			x.final(2, 2, one)
		} else {
			x.get(x.b, true, is(2, 0))
			x.final(2, 0)
		}
		x.judge(t)
	}
}

func TestAPushThatWasRefusedIsNotThere(t *testing.T) {
	x := byHand()
	o := x.call(x.a, Operation{Action: vera.ActionPush, Data: `{"n":1}`})
	x.r.Return(o, Refused(&vera.Error{Code: vera.Unavailable, Applied: vera.AppliedNo}))
	x.final(2, 2, one)
	x.judge(t, GhostItem)
}

func TestAPushThatMayHaveBeenDoneMayBeThere(t *testing.T) {
	x := byHand()
	o := x.call(x.a, Operation{Action: vera.ActionPush, Data: `{"n":1}`})
	x.r.Return(o, Refused(&vera.Error{Code: vera.Unavailable, Applied: vera.AppliedUnknown}))
	x.final(2, 2, one)
	x.judge(t)
}

func TestAPushDoneTwice(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	again := item(5, "A", `{"n":1}`)
	x.final(5, 5, one, again)
	x.judge(t, DoubledPush)
}

func TestOnceDoneTwice(t *testing.T) {
	x := byHand()
	for _, version := range []uint64{2, 3} {
		o := x.call(x.a, Operation{Action: vera.ActionPush, Data: `{"n":1}`, Once: "k"})
		x.r.Return(o, Message{Code: vera.OK, Index: version, Version: version})
	}
	x.judge(t, DoubledPush)
}

func TestAnItemOfAClosedSession(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.r.Leave(x.a)
	x.r.Over(x.a)
	x.a.Alive = false
	x.final(3, 2, one)
	x.judge(t, ItemOutlivesSession)
}

func TestAnItemThatLeftWithItsSession(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.a.Alive = false
	x.get(x.b, true, is(4, 0))
	x.final(5, 0)
	x.judge(t)
}

func TestTwoSessionsThatEndInOneEntry(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.push(x.b, `{"n":2}`, is(3, 3, one, two), 3)
	third := x.r.Begin("C")
	third.Alive = true
	last := item(4, "C", `{"n":3}`)
	x.push(third, `{"n":3}`, is(4, 4, one, two, last), 4)
	x.get(third, true, is(6, 5, last)) // both left at 5, right behind the push
	x.a.Alive, x.b.Alive = false, false
	x.r.Over(x.a)
	x.r.Over(x.b)
	x.final(7, 5, last)
	x.judge(t)
}

func TestAPromiseToStay(t *testing.T) {
	for _, safe := range []int64{3, 1000} {
		x := byHand()
		early := x.r.Call(Operation{Action: vera.ActionPing, Life: x.a})
		x.r.Return(early, Message{Code: vera.OK, Index: 1, SafeMs: 1000}) // there was no item yet
		x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
		ping := x.r.Call(Operation{Action: vera.ActionPing, Life: x.a})
		x.r.Return(ping, Message{Code: vera.OK, Index: 2, SafeMs: safe})
		x.a.Alive = false
		x.get(x.b, true, is(4, 0)) // four moments after the ping left
		late := x.r.Call(Operation{Action: vera.ActionPing, Life: x.a})
		x.r.Return(late, Message{Code: vera.OK, Index: 4, SafeMs: 1000}) // there was none any more
		x.get(x.b, true, is(5, 0))
		x.final(5, 0)
		if safe > 3 {
			x.judge(t, LeftTooEarly)
		} else {
			x.judge(t)
		}
	}
}

func TestATestAndSetThatCouldNotHold(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	o := x.call(x.b, Operation{Action: vera.ActionPush, Data: `{"n":2}`, Conditional: true})
	answer := is(3, 3, one, two)
	answer.Version = 3
	x.r.Return(o, answer)
	x.final(3, 3, one, two)
	x.judge(t, NotLinearizable)
}

func TestAWatchIsHeldToTheList(t *testing.T) {
	for what, want := range map[string][]Name{"exact": nil, "behind": {WatchBehind}, "too much": {WrongDifference}, "another state": {LostItem, Diverged, WatchBehind}} {
		x := byHand()
		x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
		answer := is(2, 2, one)
		w := x.r.Watch(Watch{Connection: "w", Path: theList, Limit: vera.NoLimit, Answer: &answer})
		x.push(x.b, `{"n":2}`, is(3, 3, one, two), 3)
		m := Message{Path: theList, Index: 3, ETag: 3, Added: []Item{two}}
		switch what {
		case "too much":
			m.Removed = []Item{{Version: 9}}
		case "another state":
			m.Added, m.Removed = nil, []Item{{Version: 2, Session: "A", Reason: "expired"}}
		}
		if what != "behind" {
			w.Notified(m)
		}
		x.final(3, 3, one, two)
		t.Run(what, func(t *testing.T) { x.judge(t, want...) })
	}
}

func TestAHeadThatFalls(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	x.push(x.b, `{"n":2}`, is(3, 3, one, two), 3)
	x.get(x.b, false, is(4, 4, two))
	x.get(x.b, false, is(5, 5, one, two))
	x.a.Alive = false
	x.judge(t, HeadFell)
}
