package test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"vera/client"
)

// reader is one way to follow a list, and what it was told.
type reader struct {
	name  string
	limit int
	f     *follower
}

func TestEveryWayOfReadingTellsTheSameHistory(t *testing.T) {
	t.Parallel()
	p, path, truth := shared(t), here(t), newTruth()
	owner := call(t, p, client.Options{})
	head := overture(t, owner, path, truth)
	readers := []*reader{
		{name: "WebSocket", limit: -1}, {name: "long poll", limit: -1}, {name: "long poll of the head", limit: 1},
		{name: "events", limit: -1}, {name: "events of two", limit: 2}, {name: "events with resumes", limit: -1},
	}
	var all sync.WaitGroup
	for n, r := range readers {
		random := rand.New(rand.NewPCG(uint64(n), 1))
		all.Go(func() {
			var err error
			switch {
			case r.name == "WebSocket":
				err = r.byWebSocket(t, p, path)
			case strings.HasPrefix(r.name, "long poll"):
				err = r.byLongPoll(t, p, path)
			default:
				err = r.byEvents(t, p, path, random)
			}
			if err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
		})
	}
	storm(t, p, path, 3, long(60), truth)
	end := finale(t, owner, path, head, truth)
	all.Wait()
	if t.Failed() {
		return
	}
	for _, r := range readers {
		r.f.judge(t, truth, r.limit, end.ETag)
		if r.limit < 0 && len(r.f.told) < 3 {
			t.Errorf("%s was told %d states", r.name, len(r.f.told))
		}
	}
}

func (r *reader) byWebSocket(t *testing.T, p *peer, path string) error {
	c, err := tryCall(t, p, client.Options{Queue: 10_000})
	if err != nil {
		return err
	}
	w, l, err := c.Watch(within(t, patience), path)
	if err != nil {
		return err
	}
	for r.f = follow(l); !r.f.ended(); {
		n, err := w.Next(within(t, 4*patience))
		if err == nil {
			err = r.f.take(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) byLongPoll(t *testing.T, p *peer, path string) error {
	etag := ""
	for !r.f.ended() {
		var options []client.Option
		if etag != "" {
			options = append(options, client.IfNoneMatch(etag), client.Wait(2*time.Second))
		}
		if r.limit >= 0 {
			options = append(options, client.Limit(r.limit))
		}
		l, err := client.Get(within(t, 4*patience), quickHTTP(), p.url(), path, options...)
		if err != nil {
			return err
		}
		if l.Unchanged {
			continue
		}
		if etag = l.ETag; r.f == nil {
			r.f = follow(l.Listing)
			continue
		}
		if l.Index < r.f.index || l.ETag == r.f.etag {
			return fmt.Errorf("etag %s at %d came after %s at %d", l.ETag, l.Index, r.f.etag, r.f.index)
		}
		r.f.known, r.f.index, r.f.etag = shown(l.Items), l.Index, l.ETag
		r.f.told = append(r.f.told, l.Listing)
	}
	return nil
}

func (r *reader) byEvents(t *testing.T, p *peer, path string, random *rand.Rand) error {
	route := path
	if r.limit >= 0 {
		route = fmt.Sprintf("%s?limit=%d", path, r.limit)
	}
	s := listen(t, p, route, "")
	for {
		told, err := s.next()
		if err != nil {
			return err
		}
		if r.f == nil {
			r.f = &follower{}
			if !told.Reset {
				return fmt.Errorf("the first event is no reset: %s", text(told))
			}
		}
		if err := r.f.take(told); err != nil {
			return err
		}
		if r.f.ended() {
			return nil
		}
		if strings.HasSuffix(r.name, "resumes") && random.IntN(3) == 0 {
			s.stop()
			s = listen(t, p, route, s.last)
		}
	}
}

func TestAStreamResumesSilentlyWhenNothingChanged(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	c.push(path, number(1))
	s := listen(t, p, path, "")
	first, err := s.next()
	if err != nil || !first.Reset || len(first.Items) != 1 {
		t.Fatalf("the first event: %s, %v", text(first), err)
	}
	s.stop()
	s = listen(t, p, path, s.last)
	second := c.push(path, number(2))
	n, err := s.next()
	if err != nil || n.Reset || n.ETag != second.ETag || len(n.Items) != 2 {
		t.Errorf("the first event after an unchanged list: %s, %v", text(n), err)
	}
	s.stop()
	third := c.push(path, number(3))
	s = listen(t, p, path, s.last)
	if n, err = s.next(); err != nil || !n.Reset || n.ETag != third.ETag || len(n.Items) != 3 {
		t.Errorf("the first event after a change: %s, %v", text(n), err)
	}
}
