package history

import (
	"testing"
	"time"

	"vera"
)

// tells has a session be told what it holds, each time on another connection.
func (x *hand) tells(l *Life, index uint64, versions ...uint64) {
	o := x.r.Call(Operation{Action: vera.ActionSession, Life: l})
	m := Message{Code: vera.OK, Index: index, Items: []Item{}}
	for _, version := range versions {
		m.Items = append(m.Items, Item{Path: theList, Version: version})
	}
	x.r.Return(o, m)
}

func TestWhatASessionIsToldThatItHolds(t *testing.T) {
	for what, want := range map[string][]Name{
		"it": nil, "late": nil, "later too": nil, "nothing": {WrongHoldings}, "twice": {WrongHoldings}, "another's": {WrongHoldings},
		"elsewhere": {WrongHoldings}, "removed": {WrongHoldings}, "asked to go": nil,
	} {
		x := byHand()
		x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
		x.push(x.b, `{"n":2}`, is(3, 3, one, two), 3)
		final, etag := []Item{one, two}, uint64(3)
		switch what {
		case "it":
			x.tells(x.a, 3, 2)
		case "late":
			x.tells(x.a, 1)
		case "later too":
			x.tells(x.a, 1, 2)
		case "nothing":
			x.tells(x.a, 3)
		case "twice":
			x.tells(x.a, 3, 2, 2)
		case "another's":
			x.tells(x.a, 3, 2, 3)
		case "elsewhere":
			o := x.r.Call(Operation{Action: vera.ActionSession, Life: x.a})
			x.r.Return(o, Message{Code: vera.OK, Index: 3, Items: []Item{{Path: "/data/other", Version: 2}}})
		case "removed", "asked to go":
			o := x.call(x.a, Operation{Action: vera.ActionRemove, Version: 2})
			if what == "asked to go" {
				x.tells(x.a, 4)
				x.tells(x.b, 4, 3)
			}
			x.r.Return(o, is(4, 4, two))
			if what == "removed" {
				x.tells(x.a, 4, 2)
			}
			final, etag = []Item{two}, 4
		}
		x.final(4, etag, final...)
		t.Run(what, func(t *testing.T) { x.judge(t, want...) })
	}
}

// lived is a life with an item that the log ended at index 5.
func lived(reason vera.Reason) *hand {
	x := byHand()
	x.a.Alive = false
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	first := one
	first.Life = 1
	x.r.Logged(Change{Index: 2, Path: theList, Items: []Item{first}})
	x.r.seq += 1000 // milliseconds
	x.r.Logged(Change{Index: 5, Path: theList, Items: []Item{}})
	x.r.Ended("A", 1, 5, reason)
	return x
}

// end is what is found in the end, with all of the log known.
func (x *hand) end(t *testing.T, want ...Name) {
	t.Helper()
	x.final(9, 0)
	if found := x.r.History(true).Check(); len(want) != len(Names(found)) || len(want) > 0 && Names(found)[0] != want[0] {
		t.Errorf("found %v, want %v:\n%s", Names(found), want, Text(found))
	}
}

func TestALifeThatIsOverHoldsNothing(t *testing.T) {
	x := lived(vera.Expired)
	x.tells(x.a, 4, 2)
	x.tells(x.a, 5)
	x.end(t)
	x = lived(vera.Expired)
	x.tells(x.a, 5, 2)
	x.end(t, WrongHoldings)
}

func TestAnItemOfALaterLife(t *testing.T) {
	x := lived(vera.Expired)
	next := x.r.Begin("A")
	later := item(7, "A", `{"n":7}`)
	x.push(next, `{"n":7}`, is(7, 7, later), 7)
	later.Life = 6
	x.r.Logged(Change{Index: 7, Path: theList, Items: []Item{later}})
	x.r.Logged(Change{Index: 9, Path: theList, Items: []Item{}})
	x.r.Ended("A", 6, 9, vera.Expired)
	x.tells(x.a, 8, 7)
	x.end(t, WrongHoldings)
}

func TestALifeThatGoesOnAsANewOne(t *testing.T) {
	x := byHand()
	x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
	next := x.r.Begin("A") // as its client was told
	later := item(3, "A", `{"n":3}`)
	x.push(next, `{"n":3}`, is(3, 3, one, later), 3)
	first := one
	first.Life, later.Life = 1, 1
	x.r.Logged(Change{Index: 2, Path: theList, Items: []Item{first}})
	x.r.Logged(Change{Index: 3, Path: theList, Items: []Item{first, later}})
	x.r.Logged(Change{Index: 9, Path: theList, Items: []Item{}})
	x.r.Ended("A", 1, 9, vera.Expired)
	x.a.Alive, next.Alive = false, false
	x.end(t, MixedLives)
}

func TestALifeThatEndsWithAConnectionThere(t *testing.T) {
	for what, want := range map[string][]Name{
		"there": {LiveSessionEnded}, "sent away": {LiveSessionEnded}, "gone": nil, "left": nil, "just come": nil, "in trouble": nil, "in trouble before": nil, "another's trouble": {LiveSessionEnded},
	} {
		x := byHand()
		x.a.Alive = false
		k := x.r.Connect(Connection{Name: "k", Peer: "p", Life: x.a})
		var trouble *Trouble
		switch what {
		case "in trouble", "in trouble before":
			trouble = x.r.Trouble("p")
		case "another's trouble":
			trouble = x.r.Trouble("q")
		}
		if what == "in trouble before" {
			trouble.Over()
		}
		x.push(x.a, `{"n":1}`, is(2, 2, one), 2)
		first := one
		first.Life = 1
		x.r.Logged(Change{Index: 2, Path: theList, Items: []Item{first}})
		switch what {
		case "gone":
			k.End(false)
		case "sent away":
			k.End(true)
		case "left":
			x.r.Leave(x.a)
		}
		if what != "just come" {
			x.r.seq += int(countedAfter / time.Millisecond)
		}
		x.r.Logged(Change{Index: 5, Path: theList, Items: []Item{}})
		x.r.Ended("A", 1, 5, vera.Expired)
		t.Run(what, func(t *testing.T) { x.end(t, want...) })
	}
}
