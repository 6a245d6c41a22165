package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"vera"
	"vera/client"
	"vera/test/clients"
)

func main() {
	a := &actor{held: map[uint64]*client.Handle{}}
	in := json.NewDecoder(os.Stdin)
	for {
		var c clients.Command
		if in.Decode(&c) != nil {
			return // whoever drove it is gone
		}
		go func() {
			answer, err := a.do(context.Background(), c)
			answer.RID, answer.Error = c.RID, refusal(err)
			a.say(answer)
		}()
	}
}

// actor is one client.
type actor struct {
	client *client.Client // set by connect, which is waited for

	mu   sync.Mutex
	held map[uint64]*client.Handle
}

func (a *actor) say(l clients.Line) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("a line that is no JSON: %v", err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = os.Stdout.Write(append(text, '\n')) // nobody listens any more: the end is near
}

func refusal(err error) *clients.Refusal {
	if err == nil {
		return nil
	}
	r := &clients.Refusal{Message: err.Error()}
	if refused, is := errors.AsType[*vera.Error](err); is {
		r.Code = string(refused.Code)
	} else if errors.Is(err, client.ErrSessionEnded) {
		r.Code = string(vera.SessionEnded)
	}
	return r
}

func (a *actor) do(ctx context.Context, c clients.Command) (l clients.Line, err error) {
	switch c.Do {
	case "connect":
		return l, a.connect(c)
	case "push":
		h, _, err := a.client.Push(ctx, c.Path, c.Data, client.Limit(0))
		if err == nil {
			a.hold(h)
			l.Version = h.Version()
		}
		return l, err
	case "update":
		_, err = a.handle(c.Version).Update(ctx, c.Data)
	case "remove":
		err = a.handle(c.Version).Remove(ctx)
	case "watch":
		go a.watch(ctx, c.Path)
	case "get":
		listing, err := a.client.Get(ctx, c.Path)
		l.Listing = &listing
		return l, err
	case "elect":
		e, err := a.client.Elect(ctx, c.Path, c.Data)
		if err == nil {
			l.Version = e.Fence()
			go a.lead(ctx, e)
			go a.claim(e)
		}
		return l, err
	case "state":
		l.State, l.Session = string(a.client.State()), a.client.Session().Session
	case "close":
		err = a.client.Close()
	default:
		err = fmt.Errorf("it cannot %s", c.Do)
	}
	return l, err
}

func (a *actor) connect(c clients.Command) error {
	o := client.Options{Grace: ms(c.GraceMs), Heartbeat: ms(c.HeartbeatMs), Local: c.Local}
	if c.Connections == "one" {
		o.Connections = client.One
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	if a.client, err = client.Connect(ctx, c.URLs, o); err != nil {
		return err
	}
	go func() {
		for state := range a.client.States(context.Background()) {
			a.say(clients.Line{Event: "state", State: string(state)})
		}
	}()
	return nil
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// hold keeps an item and tells when it is lost.
func (a *actor) hold(h *client.Handle) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[h.Version()] = h
	go func() {
		<-h.Lost()
		a.say(clients.Line{Event: "lost", Version: h.Version(), Reason: cmp.Or(h.Reason(), "no reason")})
	}()
}

func (a *actor) handle(version uint64) *client.Handle {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[version]
}

func (a *actor) watch(ctx context.Context, path string) {
	for told, err := range a.client.Watch(ctx, path) {
		if err != nil {
			a.say(clients.Line{Event: "list", Error: refusal(err)})
			return
		}
		a.say(clients.Line{Event: "list", List: &told})
	}
}

// lead tells how leaderships begin and end.
func (a *actor) lead(ctx context.Context, e *client.Election) {
	for {
		leading, err := e.Leader(ctx)
		if err != nil {
			a.say(clients.Line{Event: "over", Fence: e.Fence(), Final: true, Reason: err.Error()})
			return
		}
		a.say(clients.Line{Event: "elected", Fence: e.Fence()})
		<-leading.Done()
		a.say(clients.Line{Event: "over", Fence: e.Fence(), Reason: context.Cause(leading).Error()})
	}
}

// claim says again and again that it leads, while it does.
func (a *actor) claim(e *client.Election) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.Done():
			return
		}
		before := time.Now().UnixMilli()
		state := e.State()
		after := time.Now().UnixMilli()
		if state == client.ElectionElected || state == client.ElectionSuspended {
			a.say(clients.Line{Event: "leads", Fence: e.Fence(), Before: before, After: after})
		}
	}
}
