package actors

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

// What the vectors say of takers follows from what they say of lists: the
// difference of the lists at two looks, and the reasons told between them.
func TestLooksOfListVectorsAreDifferencesOfLists(t *testing.T) {
	for _, v := range readListVectors(t) {
		for name, taker := range v.Takers {
			t.Run(v.Name+"/"+name, func(t *testing.T) {
				first := func(list []item) []item {
					if taker.Limit != nil {
						list = list[:min(len(list), *taker.Limit)]
					}
					return list
				}
				var before []item
				reasons, reset := map[uint64]string{}, true
				for i, step := range v.Steps {
					reasonsOf(t, step.Told, reasons)
					got, looks := step.Looks[name]
					if !looks {
						continue
					}
					want := plainLook(before, first(step.List), reasons)
					if want.Reset = reset; !reset && len(want.Added)+len(want.Updated)+len(want.Removed) == 0 {
						want = nil
					}
					if !reflect.DeepEqual(got, want) {
						t.Errorf("step %d: told %+v, not %+v", i, got, want)
					}
					before, reset = first(step.List), false
				}
			})
		}
	}
}

func reasonsOf(t *testing.T, text json.RawMessage, reasons map[uint64]string) {
	var n told
	if text == nil {
		return
	}
	if err := json.Unmarshal(text, &n); err != nil {
		t.Fatal(err)
	}
	for _, it := range n.Removed {
		reasons[it.Version] = it.Reason
	}
}

// plainLook is the difference of two states of a list.
func plainLook(before, now []item, reasons map[uint64]string) *listLook {
	look := &listLook{Items: []uint64{}, Added: []uint64{}, Updated: []uint64{}}
	look.Removed = make([]struct {
		Version uint64
		Reason  string
	}, 0)
	in := func(list []item, version uint64) int {
		return slices.IndexFunc(list, func(it item) bool { return it.Version == version })
	}
	for _, it := range now {
		look.Items = append(look.Items, it.Version)
		switch was := in(before, it.Version); {
		case was < 0:
			look.Added = append(look.Added, it.Version)
		case before[was].Updated != it.Updated:
			look.Updated = append(look.Updated, it.Version)
		}
	}
	for _, it := range before {
		if in(now, it.Version) < 0 {
			look.Removed = append(look.Removed, struct {
				Version uint64
				Reason  string
			}{it.Version, reasons[it.Version]})
		}
	}
	return look
}
