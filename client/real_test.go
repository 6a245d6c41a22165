package client

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestReal(t *testing.T) {
	urls := os.Getenv("VERA_URLS")
	if urls == "" {
		t.Skip()
	}
	c, err := Connect(t.Context(), strings.Split(urls, ","), Options{Grace: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	dump := func() {
		c.call(func() {
			for _, l := range c.links {
				fmt.Printf("  link %s loud=%v stage=%d ears=%v susp=%v under=%d asked=%d told=%d\n", l.id(), l.loud, l.stage, c.ears == l, l.suspended, len(l.under), len(l.asked), len(l.told))
			}
			fmt.Println("  leader", c.atlas.leader(), "members", len(c.atlas.members), "writes", len(c.writes))
		})
	}
	start := time.Now()
	say := func(a ...any) { fmt.Println(append([]any{time.Since(start).Round(time.Millisecond)}, a...)...) }
	go func() {
		for s := range c.States(t.Context()) {
			say("state", s)
		}
	}()
	e, err := c.Elect(t.Context(), "/data/lead", map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	say("elect", e.Fence())
	go func() {
		for n, err := range c.Watch(t.Context(), "/data/x") {
			say("watch", n.Index, len(n.Items), "+", len(n.Added), "~", len(n.Updated), "-", n.Removed, n.Reset, err)
		}
	}()
	l, err := e.Leader(t.Context())
	say("leads", err, e.Until())
	go func() {
		for l != nil {
			<-l.Done()
			say("over", l.Err(), e.State())
			l, err = e.Leader(t.Context())
			say("leads", err)
		}
	}()
	h, _, err := c.Push(t.Context(), "/data/x", map[string]int{"n": 0})
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Second)
	end := time.After(40 * time.Second)
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-end:
			say("close", c.Close())
			return
		}
		began := time.Now()
		_, err := h.Update(t.Context(), map[string]int{"n": n})
		say("update", n, err, time.Since(began).Round(time.Millisecond), e.State(), e.Until().Round(time.Millisecond))
		if n%4 == 0 {
			dump()
		}
	}
}
