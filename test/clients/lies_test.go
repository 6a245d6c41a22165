package clients

import (
	"testing"

	"vera/client"
)

func items(versions ...uint64) (all []client.Item) {
	for _, v := range versions {
		all = append(all, client.Item{Version: v, Data: []byte(`{}`)})
	}
	return all
}

// TestLiesAboutListsAreSeen: what an actor must not be told of a list is found.
func TestLiesAboutListsAreSeen(t *testing.T) {
	began := client.Notification{Index: 10, Reset: true, Items: items(3, 7), Added: items(3, 7)}
	touched := client.Item{Version: 7, Updated: 12, Data: []byte(`{"new":1}`)}
	for name, next := range map[string]client.Notification{
		"":                             {Index: 12, Items: append(items(3), touched, items(12)[0]), Added: items(12), Updated: []client.Item{touched}},
		"a gap":                        {Index: 14, Items: items(3, 7, 12, 14), Added: items(14)},
		"an item that nobody took":     {Index: 14, Items: items(7)},
		"a removal of what was not":    {Index: 14, Items: items(3, 7), Removed: items(9)},
		"an addition of what was":      {Index: 14, Items: items(3, 7), Added: items(7)},
		"an update of what was not":    {Index: 14, Items: items(3, 7, 9), Updated: items(9)},
		"an update that changes none":  {Index: 14, Items: items(3, 7), Updated: items(7)},
		"nothing":                      {Index: 14, Items: items(3, 7)},
		"the past":                     {Index: 9, Items: items(3), Removed: items(7)},
		"a beginning that is none":     {Index: 14, Items: items(3), Added: items(3), Reset: true},
		"another order":                {Index: 14, Items: items(7, 3, 14), Added: items(14)},
		"data that was never told":     {Index: 14, Items: append(items(3), touched, items(14)[0]), Added: items(14)},
		"a removal that does not show": {Index: 14, Items: items(3, 7), Removed: items(7)},
	} {
		w := &told{}
		w.take(&began)
		w.take(&next)
		if (w.wrong == nil) != (name == "") {
			t.Errorf("%q: %v", name, w.wrong)
		}
	}
}

// TestLiesAboutPushesAreSeen: a list that does not hold what was acknowledged,
// each once and in order, is found.
func TestLiesAboutPushesAreSeen(t *testing.T) {
	pushed := func(version uint64, data string) client.Item {
		return client.Item{Version: version, Data: []byte(data)}
	}
	one, two, three := pushed(11, `{"by":0,"n":1}`), pushed(12, `{"by":1,"n":1}`), pushed(13, `{"by":0,"n":2}`)
	w := &work{actor: &actor{events: []event{{Line: Line{Event: "lost", Version: 12}}}}}
	for _, a := range []ack{{number: number{0, 1}, version: 11}, {number: number{1, 1}, version: 12}, {number: number{0, 2}, version: 13}} {
		w.acks = append(w.acks, a)
	}
	for name, list := range map[string][]client.Item{
		"":                      {one, three},
		"lost":                  {one},
		"alive":                 {one, two, three},
		"pushed twice":          {one, three, pushed(14, `{"by":0,"n":2}`)},
		"another's":             {one, pushed(13, `{"by":1,"n":2}`)},
		"not what was answered": {one, pushed(13, `{"by":0,"n":3}`)},
	} {
		if err := w.holds(list); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
	w.acks[0].N, w.acks[2].N = 2, 1
	if w.holds([]client.Item{pushed(11, `{"by":0,"n":2}`), pushed(13, `{"by":0,"n":1}`)}) == nil {
		t.Error("out of order")
	}
}

// TestLiesAboutLeadingAreSeen: two that say that they lead at one moment, or a
// fence that does not rise, are found.
func TestLiesAboutLeadingAreSeen(t *testing.T) {
	reign := func(who string, fence uint64, from, to int64) *actor {
		return &actor{name: who, events: []event{{Line: Line{Event: "leads", Fence: fence, After: from, Before: to}}}}
	}
	for name, all := range map[string][]*actor{
		"":              {reign("a", 5, 1000, 2000), reign("b", 7, 2000, 3000)},
		"overlap":       {reign("a", 5, 1000, 2001), reign("b", 7, 2000, 3000)},
		"falling fence": {reign("a", 7, 1000, 2000), reign("b", 5, 2500, 3000)},
		"same fence":    {reign("a", 7, 1000, 2000), reign("b", 7, 2500, 3000)},
		"within":        {reign("a", 5, 1000, 9000), reign("b", 7, 2000, 3000), reign("c", 8, 4000, 5000)},
	} {
		if err := ledAlone(all); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
