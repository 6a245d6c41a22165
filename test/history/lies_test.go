package history

import (
	"math/rand/v2"
	"slices"

	"vera"
)

// heardBefore is the highest index that anybody was told of before a call.
func heardBefore(h *History, o *Operation) (most uint64) {
	c := checker{History: h}
	for _, heard := range c.hearings() {
		if heard.moment.Before(o.Called) {
			most = max(most, heard.index)
		}
	}
	return most
}

// toldBefore is the highest index of which an operation's connection was told
// before its answer.
func toldBefore(h *History, o *Operation) (most uint64) {
	for _, other := range h.Operations {
		if other.Connection == o.Connection && other.Returned.Before(o.Returned) {
			most = max(most, other.Answer.Index)
		}
	}
	return most
}

// anyTold is an item in some answer.
func anyTold(h *History, random *rand.Rand) *Item {
	o := anyOf(h.Operations, random, func(o *Operation) bool { return o.listed() && len(o.Answer.Items) > 0 })
	if o == nil {
		return nil
	}
	return &o.Answer.Items[random.IntN(len(o.Answer.Items))]
}

// seenElsewhere says whether another answer has an item of that version.
func seenElsewhere(h *History, it *Item) bool {
	return slices.ContainsFunc(h.Operations, func(o *Operation) bool {
		return o.listed() && slices.ContainsFunc(o.Answer.Items, func(other Item) bool {
			return other.Version == it.Version && other.Session != it.Session
		})
	})
}

// seesOwnGhost has a consistent read show an item of a session whose end its
// client knew.
func seesOwnGhost(h *History, random *rand.Rand) bool {
	var push *Operation
	o := anyOf(h.Operations, random, func(o *Operation) bool {
		return o.listed() && o.Consistent && o.Limit == vera.NoLimit && slices.ContainsFunc(h.Operations, func(p *Operation) bool {
			if fit := p.fresh() && p.Path == o.Path && p.Life.Over.Before(o.Called); fit {
				push = p
				return true
			}
			return false
		})
	})
	if o == nil || push == nil || push.Path != o.Path || !push.Life.Over.Before(o.Called) {
		return false
	}
	o.Answer.Items = append(o.Answer.Items, Item{Version: push.Answer.Version, Session: push.Life.Session, Data: []byte(push.Data)})
	return true
}

// staleRead has a consistent read tell what an earlier answer told of its list.
func staleRead(h *History, random *rand.Rand) bool {
	var old *Operation
	o := anyOf(h.Operations, random, func(o *Operation) bool {
		if !o.listed() || !o.Consistent || o.Limit != vera.NoLimit {
			return false
		}
		i := slices.IndexFunc(h.Operations, func(p *Operation) bool {
			return p.listed() && p.Path == o.Path && p.Limit == vera.NoLimit && p.Answer.Index < heardBefore(h, o)
		})
		if i >= 0 {
			old = h.Operations[i]
		}
		return i >= 0
	})
	if o == nil || old.Path != o.Path || old.Answer.Index >= heardBefore(h, o) {
		return false
	}
	o.Answer.Index, o.Answer.ETag, o.Answer.Items, o.Answer.Total = old.Answer.Index, old.Answer.ETag, old.Answer.Items, old.Answer.Total
	return true
}

// promiseMore has a client be promised what the end of its session breaks: that
// must have been seen.
func promiseMore(h *History, random *rand.Rand) bool {
	covered := func(o, p *Operation) bool {
		return p.fresh() && p.Life == o.Life && p.Answer.Version <= o.Answer.Index && noRemoval(h, p.Answer.Version)
	}
	o := anyOf(h.Operations, random, func(o *Operation) bool {
		return o.Action == vera.ActionPing && !o.Life.Alive && o.Life.Leaving.Seq == 0 && h.Complete &&
			slices.ContainsFunc(h.Log, func(c Change) bool {
				if c.Index != o.Life.Index {
					return false
				}
				return slices.ContainsFunc(h.Operations, func(p *Operation) bool { return covered(o, p) && p.Path == c.Path })
			})
	})
	if o == nil {
		return false
	}
	o.Answer.SafeMs = 1 << 30
	return true
}

// acked says whether an item's push was acknowledged, and nobody removes it.
func acked(h *History, it Item) bool {
	return noRemoval(h, it.Version) && slices.ContainsFunc(h.Operations, func(o *Operation) bool { return o.fresh() && o.Answer.Version == it.Version })
}

func noRemoval(h *History, version uint64) bool {
	return !slices.ContainsFunc(h.Operations, func(o *Operation) bool { return o.Action == vera.ActionRemove && o.Version == version })
}

// tellOtherwise changes one notification for which change returns true.
func tellOtherwise(h *History, random *rand.Rand, change func(*Message) bool) bool {
	for _, i := range random.Perm(len(h.Watches)) {
		w := h.Watches[i]
		for j := range w.Told {
			if change(&w.Told[j]) {
				return true
			}
		}
	}
	return false
}
