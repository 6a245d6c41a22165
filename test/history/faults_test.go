package history

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"vera"
)

// fault is a lie told in a history that had none.
type fault struct {
	what string
	want []Name // one of them must be found
	// make makes it, unless nothing in the history is fit for it.
	make func(h *History, random *rand.Rand) bool
}

// any returns one of those for which fit holds, or nil.
func anyOf[T any](all []*T, random *rand.Rand, fit func(*T) bool) *T {
	var some []*T
	for _, t := range all {
		if fit(t) {
			some = append(some, t)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[random.IntN(len(some))]
}

// aliveItem is an item that is there in the end.
func aliveItem(h *History, random *rand.Rand) (path string, at int, found bool) {
	for _, path := range slices.Sorted(maps.Keys(h.Peers[0].Lists)) {
		if n := len(h.Peers[0].Lists[path].Items); n > 0 {
			return path, random.IntN(n), true
		}
	}
	return "", 0, false
}

// everywhere changes a list in the end on every peer, so that nobody differs.
func everywhere(h *History, path string, change func([]Item) []Item) {
	for _, p := range h.Peers {
		l := p.Lists[path]
		l.Items = change(slices.Clone(l.Items))
		p.Lists[path] = l
	}
}

var faults = []fault{
	{"an acknowledged push is nowhere in the end", []Name{LostItem}, func(h *History, random *rand.Rand) bool {
		path, at, found := aliveItem(h, random)
		if found {
			version := h.Peers[0].Lists[path].Items[at].Version
			if anyOf(h.Operations, random, func(o *Operation) bool { return o.fresh() && o.Answer.Version == version }) == nil {
				return false
			}
			everywhere(h, path, func(items []Item) []Item { return slices.Delete(items, at, at+1) })
		}
		return found
	}},
	{"an item is there twice in the end", []Name{DoubledPush}, func(h *History, random *rand.Rand) bool {
		path, at, found := aliveItem(h, random)
		if !found || h.Peers[0].Lists[path].Items[at].Updated != 0 {
			return false
		}
		everywhere(h, path, func(items []Item) []Item {
			twin := items[at]
			twin.Version = h.Peers[0].Index
			return append(items, twin)
		})
		return true
	}},
	{"a session is over and its item is there", []Name{ItemOutlivesSession}, func(h *History, random *rand.Rand) bool {
		path, at, found := aliveItem(h, random)
		for _, l := range h.Lives {
			if found && l.Session == h.Peers[0].Lists[path].Items[at].Session {
				l.Alive = false
			}
		}
		return found
	}},
	{"a client that closed sees its item in a consistent read", []Name{ItemOutlivesSession}, seesOwnGhost},
	{"a consistent read is of an older index", []Name{StaleRead}, staleRead},
	{"a change has an index that was known before", []Name{WrongOrder}, func(h *History, random *rand.Rand) bool {
		o := anyOf(h.Operations, random, func(o *Operation) bool {
			return o.fresh() && heardBefore(h, o) > 1
		})
		if o != nil {
			o.Answer.Version = heardBefore(h, o) - uint64(random.IntN(2))
		}
		return o != nil
	}},
	{"an index falls on a connection", []Name{WentBack}, func(h *History, random *rand.Rand) bool {
		o := anyOf(h.Operations, random, func(o *Operation) bool {
			return o.listed() && !o.Consistent && !o.changes() && toldBefore(h, o) > 1
		})
		if o != nil {
			o.Answer.Index = toldBefore(h, o) - 1
		}
		return o != nil
	}},
	{"an item has data that nobody gave it", []Name{GhostItem, LostUpdate}, func(h *History, random *rand.Rand) bool {
		it := anyTold(h, random)
		if it != nil {
			it.Data = json.RawMessage(`{"n":"nobody"}`)
		}
		return it != nil
	}},
	{"an item has another's version", []Name{VersionTwice}, func(h *History, random *rand.Rand) bool {
		it := anyTold(h, random)
		if it == nil || len(h.Lives) < 2 {
			return false
		}
		other := anyOf(h.Lives, random, func(l *Life) bool { return l.Session != it.Session })
		it.Session = other.Session
		return seenElsewhere(h, it)
	}},
	{"a list is not in the order of versions", []Name{HeadFell}, func(h *History, random *rand.Rand) bool {
		o := anyOf(h.Operations, random, func(o *Operation) bool { return o.listed() && len(o.Answer.Items) > 1 })
		if o != nil {
			slices.Reverse(o.Answer.Items)
		}
		return o != nil
	}},
	{"a test-and-set held though the etag was another", []Name{NotLinearizable}, func(h *History, random *rand.Rand) bool {
		if !h.Complete {
			return false
		}
		o := anyOf(h.Operations, random, func(o *Operation) bool { return o.fresh() })
		if o != nil {
			o.Conditional, o.IfMatch = true, o.Answer.Version
		}
		return o != nil
	}},
	{"a peer has missed a change", []Name{Diverged}, func(h *History, random *rand.Rand) bool {
		path, at, found := aliveItem(h, random)
		if found {
			l := h.Peers[1].Lists[path]
			l.Items = slices.Delete(slices.Clone(l.Items), at, at+1)
			h.Peers[1].Lists[path] = l
		}
		return found
	}},
	{"a session holds an item that is on no list", []Name{HalfItem}, func(h *History, random *rand.Rand) bool {
		session := h.Lives[random.IntN(len(h.Lives))].Session
		h.Peers[0].Holds[session] = append(h.Peers[0].Holds[session], 1)
		return true
	}},
	{"a live session is not there", []Name{LiveSessionEnded}, func(h *History, random *rand.Rand) bool {
		o := anyOf(h.Operations, random, func(o *Operation) bool { return o.fresh() && o.Life.Alive })
		if o != nil {
			delete(h.Peers[0].Holds, o.Life.Session)
		}
		return o != nil
	}},
	{"a dead session is there", []Name{SessionOutlives}, func(h *History, random *rand.Rand) bool {
		l := anyOf(h.Lives, random, func(l *Life) bool { return !l.Alive })
		if l != nil {
			h.Peers[0].Holds[l.Session] = nil
		}
		return l != nil
	}},
	{"a session is not told of an item that it holds", []Name{WrongHoldings}, func(h *History, random *rand.Rand) bool {
		o := anyOf(h.Operations, random, func(o *Operation) bool {
			return o.Action == vera.ActionSession && (h.Complete || o.Life.Alive) && slices.ContainsFunc(o.Answer.Items, func(it Item) bool { return acked(h, it) })
		})
		if o != nil {
			o.Answer.Items = slices.DeleteFunc(o.Answer.Items, func(it Item) bool { return acked(h, it) })
		}
		return o != nil
	}},
	{"a session is told of another's item", []Name{WrongHoldings}, func(h *History, random *rand.Rand) bool {
		o := anyOf(h.Operations, random, func(o *Operation) bool { return o.Action == vera.ActionSession })
		if o == nil {
			return false
		}
		p := anyOf(h.Operations, random, func(p *Operation) bool { return p.fresh() && p.Life != o.Life })
		if p != nil {
			o.Answer.Items = append(o.Answer.Items, Item{Path: p.Path, Version: p.Answer.Version})
		}
		return p != nil
	}},
	{"a ping promised more than was kept", []Name{LeftTooEarly}, promiseMore},
	{"an item left for another reason", []Name{WrongReason}, func(h *History, random *rand.Rand) bool {
		return tellOtherwise(h, random, func(m *Message) bool {
			i := slices.IndexFunc(m.Removed, func(it Item) bool { return it.Reason == vera.Expired.String() })
			if i >= 0 {
				m.Removed[i].Reason = []string{vera.Removed.String(), vera.Closed.String(), ""}[random.IntN(3)]
			}
			return i >= 0 && noRemoval(h, m.Removed[i].Version)
		})
	}},
	{"a notification says too little", []Name{WrongDifference, Diverged, WatchBehind}, func(h *History, random *rand.Rand) bool {
		return tellOtherwise(h, random, func(m *Message) bool {
			switch {
			case len(m.Added) > 0:
				m.Added = m.Added[1:]
			case len(m.Removed) > 0:
				m.Removed = m.Removed[1:]
			default:
				return false
			}
			return !m.Reset && (h.Complete || m.Items != nil)
		})
	}},
	{"a notification never came", []Name{WrongDifference, WatchBehind}, func(h *History, random *rand.Rand) bool {
		w := anyOf(h.Watches, random, func(w *Watch) bool {
			n := len(w.Told)
			return w.Live && n > 0 && !w.Told[n-1].Reset
		})
		if w != nil {
			w.Told = w.Told[:len(w.Told)-1]
		}
		return w != nil
	}},
}

func (f *fault) found(all []Violation) bool {
	return slices.ContainsFunc(all, func(v Violation) bool { return slices.Contains(f.want, v.Name) })
}

func TestEveryFaultIsFound(t *testing.T) {
	for _, f := range faults {
		t.Run(f.what, func(t *testing.T) {
			made := 0
			for seed := range uint64(60) {
				h := generated(seed, seed%2 == 0)
				if !f.make(h, rand.New(rand.NewPCG(seed, 2))) {
					continue
				}
				made++
				if found := h.Check(); !f.found(found) {
					t.Errorf("seed %d: found only %v:\n%s", seed, Names(found), Text(found))
				}
			}
			if made < 5 {
				t.Errorf("made only %d times", made)
			}
		})
	}
}
