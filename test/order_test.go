package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"vera"
	"vera/client"
)

func TestVersionsRiseAlongAListAndNeverRepeat(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	const clients, pushes = 8, 50
	var all sync.WaitGroup
	answered := make([][]uint64, clients)
	for n := range clients {
		c := call(t, p, client.Options{})
		all.Go(func() {
			var pending []*client.Pending
			for i := range pushes {
				sent, err := c.StartPush(within(t, patience), path, number(i), client.Limit(0))
				if err != nil {
					t.Error(err)
					return
				}
				pending = append(pending, sent)
			}
			for _, sent := range pending {
				l, err := sent.Listing(within(t, patience))
				if err != nil || l.Version > l.Index || etag(t, l.ETag) < l.Version || len(l.Items) != 0 {
					t.Errorf("push: %s, %v", text(l), err)
				}
				answered[n] = append(answered[n], l.Version)
			}
		})
	}
	all.Wait()
	listed := versions(call(t, p, client.Options{}).get(path).Items)
	if len(listed) != clients*pushes || !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) != len(listed) {
		t.Errorf("%d items with versions %v", len(listed), listed)
	}
	for n, own := range answered {
		if !slices.IsSorted(own) {
			t.Errorf("client %d sent its pushes in order and got %v", n, own)
		}
	}
	every := slices.Sorted(slices.Values(slices.Concat(answered...)))
	if !slices.Equal(every, listed) {
		t.Errorf("the answers name other versions than the list has")
	}
}

// pipelined is a message that is sent while earlier ones are under way.
type pipelined struct {
	message string
	index   uint64
}

func TestChangesOfAConnectionAreCommittedInTheOrderSent(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := speak(t, p, "")
	first := c.ask(fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":{"n":0}}`, path)).Version
	var sent []pipelined
	for n := 1; n <= 100; n++ {
		var message string
		switch n % 3 {
		case 0:
			message = fmt.Sprintf(`{"rid":%d,"action":"update","path":%q,"version":%d,"data":{"n":%d}}`, n, path, first, n)
		case 1:
			message = fmt.Sprintf(`{"rid":%d,"action":"push","path":%q,"data":{"n":%d},"limit":0}`, n, path, n)
		default:
			message = fmt.Sprintf(`{"rid":%d,"action":"remove","path":%q,"version":%d}`, n, path, first+1000000+uint64(n)) // gone: OK
		}
		sent = append(sent, pipelined{message: message})
	}
	sent = append(sent, pipelined{message: fmt.Sprintf(`{"rid":101,"action":"remove","path":%q,"version":%d}`, path, first)})
	for _, s := range sent {
		c.say(s.message)
	}
	for range sent {
		r := c.hear()
		var rid int
		if err := json.Unmarshal(r.RID, &rid); err != nil || r.Code != vera.OK {
			t.Fatalf("answered %s", r.raw)
		}
		sent[rid-1].index = r.Index
		if r.Version != 0 && rid%3 == 1 {
			sent[rid-1].index = r.Version
		}
	}
	for n := 1; n < len(sent); n++ {
		if sent[n].index < sent[n-1].index {
			t.Errorf("%s was done at %d, before %s at %d", sent[n].message, sent[n].index, sent[n-1].message, sent[n-1].index)
		}
	}
	if l := c.ask(fmt.Sprintf(`{"rid":1,"action":"get","path":%q}`, path)); len(l.Items) != 34 || !strings.Contains(string(l.Items[0].Data), `"n":1`) {
		t.Errorf("left are %d: %s", len(l.Items), l.raw)
	}
}

func TestIndexNeverFallsOnAConnection(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	var indexes []uint64 // written by the connection's reading goroutine only
	c := call(t, p, client.Options{Queue: 10_000, Trace: func(sent bool, message []byte) {
		var m struct {
			Index uint64 `json:"index"`
		}
		if !sent && json.Unmarshal(message, &m) == nil && m.Index != 0 {
			indexes = append(indexes, m.Index)
		}
	}})
	for n := range 3 {
		c.watch(fmt.Sprint(path, "/", n))
	}
	var all sync.WaitGroup
	for n := range 4 {
		other := call(t, p, client.Options{})
		all.Go(func() {
			for i := range 60 {
				if _, err := other.Push(within(t, patience), fmt.Sprint(path, "/", (n+i)%3), number(i), client.Limit(0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		all.Go(func() {
			for i := range 60 {
				if _, err := c.Get(within(t, patience), fmt.Sprint(path, "/", i%3), client.Limit(1)); err != nil {
					t.Error(err)
				}
				if _, err := c.Push(within(t, patience), fmt.Sprint(path, "/", i%3), number(i), client.Limit(0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	c.Abort()
	if len(indexes) < 400 || !slices.IsSorted(indexes) {
		t.Errorf("%d messages came with indexes %v", len(indexes), indexes)
	}
}

func TestTestAndSetLetsExactlyOneWin(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	const clients, rounds = 64, 12
	callers := make([]*caller, clients)
	for n := range callers {
		callers[n] = call(t, p, client.Options{})
	}
	known := "0"
	for round := range rounds {
		won := make(chan client.Listing, clients)
		lost := make(chan client.Listing, clients)
		var all sync.WaitGroup
		for n, c := range callers {
			all.Go(func() {
				l, err := c.Push(within(t, patience), path, number(n), client.IfMatch(known))
				if err == nil {
					won <- l
					return
				}
				refused(t, err, vera.PreconditionFailed, "")
				lost <- l
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d won, %d lost", round, len(won), len(lost))
		}
		winner := <-won
		for range len(lost) {
			if l := <-lost; l.ETag != winner.ETag || !slices.Equal(versions(l.Items), versions(winner.Items)) {
				t.Errorf("round %d: a loser was shown %s, the winner %s", round, text(l), text(winner))
			}
		}
		if len(winner.Items) != round+1 {
			t.Errorf("round %d: %d items", round, len(winner.Items))
		}
		known = winner.ETag
	}
}
