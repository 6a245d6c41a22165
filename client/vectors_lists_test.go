package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"vera/test/bubble"
)

type listVector struct {
	Name   string
	Limit  *int
	Takers map[string]struct{ Limit *int }
	Steps  []struct {
		Does         []struct{ Returns bool }
		Answer, Told json.RawMessage
		List         []listItem
		Looks        map[string]*listLook
	}
}

type listItem struct {
	Version, Updated uint64
	Data             json.RawMessage
}

type listLook struct {
	Reset                 bool
	Items, Added, Updated []uint64
	Removed               []listGone
}

type listGone struct {
	Version uint64
	Reason  string
}

// Takers of a watch are told what the vectors say.
func TestListVectors(t *testing.T) {
	for _, v := range readVectors[listVector](t, "lists.json") {
		t.Run(v.Name, func(t *testing.T) { bubble.Test(t, func(t *testing.T) { v.play(t) }) })
	}
}

func (v *listVector) play(t *testing.T) {
	s := newTheatre(t)
	s.watching = func(p *player, m saying) {
		if m.Items == nil || *m.Items || !reflect.DeepEqual(m.Limit, v.Limit) {
			t.Errorf("the client asked for %+v", m)
		}
		answer := v.Steps[0].Answer
		p.say(`{"rid":%s,%s`, m.RID, answer[1:])
	}
	c, err := Connect(t.Context(), []string{"http://p"}, s.options())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	takers := v.takers(c)
	for i, step := range v.Steps {
		synctest.Wait()
		for _, d := range step.Does {
			if d.Returns {
				v.returns(t, s)
			}
		}
		if i > 0 && step.Told != nil {
			for _, p := range s.all() {
				p.say("%s", step.Told)
			}
		}
		synctest.Wait()
		c.call(func() { compareList(t, c.watches[theatrePath].shown.items, step.List) })
		for name, want := range step.Looks {
			got, err := takers[name].look(c)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("step %d: %s was told %+v (%v), not %+v", i, name, got, err, want)
			}
		}
	}
}

func (v *listVector) takers(c *Client) map[string]*follower {
	takers := map[string]*follower{}
	c.call(func() {
		for name, taker := range v.Takers {
			takers[name] = newFollower(request{Limit: taker.Limit})
			takers[name].begin(c, theatrePath)
		}
	})
	return takers
}

// returns has the client lose its connection and make another one.
func (v *listVector) returns(t *testing.T, s *theatre) {
	s.cut()
	s.back(true)
	limit := ""
	if v.Limit != nil {
		limit = fmt.Sprintf(`,"limit":%d`, *v.Limit)
	}
	s.mu.Lock()
	s.watched = fmt.Sprintf(`{"path":%q,"items":false%s}`, theatrePath, limit)
	s.watching = func(_ *player, m saying) {
		t.Errorf("the client asked again, though the session has the watch: %+v", m)
	}
	s.mu.Unlock()
	<-time.After(20 * time.Second) // in fake time: as long as any try to connect may take
	if len(s.all()) != 1 {
		t.Fatalf("%d connections", len(s.all()))
	}
}

// look is what a taker is told now; nil for nothing.
func (f *follower) look(c *Client) (*listLook, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	n, err := f.next(ctx, c)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	look := &listLook{Reset: n.Reset, Items: versions(n.Items), Added: versions(n.Added), Updated: versions(n.Updated), Removed: []listGone{}}
	for _, it := range n.Removed {
		look.Removed = append(look.Removed, listGone{it.Version, it.Reason})
	}
	return look, err
}

func versions(items []Item) []uint64 {
	all := []uint64{}
	for _, it := range items {
		all = append(all, it.Version)
	}
	return all
}

func compareList(t *testing.T, got []Item, want []listItem) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("the list is %+v, not %+v", got, want)
		return
	}
	for i, it := range got {
		if it.Version != want[i].Version || it.Updated != want[i].Updated || !same(t, it.Data, want[i].Data) {
			t.Errorf("item %d is %+v, not %+v", i, it, want[i])
		}
	}
}
