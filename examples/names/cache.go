package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"vera/client"
)

const (
	keptMost = 10_000                 // names
	askMost  = 500 * time.Millisecond // for one peer
	restTime = time.Second            // before the peers are asked again that did not answer
	dialMost = 32                     // connections to a peer: however many questions come, Vera is asked no faster
)

// record is an item of a name's list: what its service says of itself.
type record struct {
	A    string   `json:"a,omitempty"`
	AAAA string   `json:"aaaa,omitempty"`
	TXT  string   `json:"txt,omitempty"`
	SRV  *service `json:"srv,omitempty"`
}

type service struct {
	Port     uint16 `json:"port"`
	Target   string `json:"target"`
	Priority uint16 `json:"priority"`
	Weight   uint16 `json:"weight"`
}

// cache keeps the lists that were asked for.
type cache struct {
	servers    []string
	web        *http.Client
	ttl, stale time.Duration

	mu   sync.Mutex
	kept map[string]*entry
}

// entry is one list as it was read last.
type entry struct {
	mu      sync.Mutex // held while somebody reads the list: others wait for what that one learns
	etag    string     // "": it was never read
	records []record
	read    time.Time // when a peer last said that it is so
	failed  time.Time // when no peer answered last
}

func newCache(servers []string, ttl, stale time.Duration) *cache {
	web := &http.Client{Timeout: askMost, Transport: &http.Transport{MaxConnsPerHost: dialMost, MaxIdleConnsPerHost: dialMost}}
	return &cache{servers: servers, web: web, ttl: ttl, stale: stale, kept: map[string]*entry{}}
}

// entry returns the place for a list. When there are too many, any other one
// goes: what is asked for often is soon there again.
func (c *cache) entry(path string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.kept[path]
	if e == nil {
		if len(c.kept) >= keptMost {
			for other := range c.kept {
				delete(c.kept, other)
				break
			}
		}
		e = &entry{}
		c.kept[path] = e
	}
	return e
}

// lookup returns a name's records, and for how long they are sure to be what
// this server says: 0 when they are stale.
func (c *cache) lookup(ctx context.Context, path string) (records []record, fresh time.Duration, err error) {
	e := c.entry(path)
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.read) >= c.ttl {
		if time.Since(e.failed) < restTime {
			err = errors.New("no peer answered a moment ago")
		} else if err = c.refresh(ctx, path, e); err != nil {
			e.failed = time.Now()
		}
	}
	switch age := time.Since(e.read); {
	case age < c.ttl:
		return e.records, c.ttl - age, nil
	case e.etag != "" && age < c.ttl+c.stale:
		return e.records, 0, nil
	}
	return nil, 0, err
}

// refresh asks the peers, one after another, until one answers.
func (c *cache) refresh(ctx context.Context, path string, e *entry) (err error) {
	for _, server := range c.servers {
		options := []client.Option{client.Limit(100)} // more fit into no answer
		if e.etag != "" {
			options = append(options, client.IfNoneMatch(e.etag))
		}
		now := time.Now()
		list, failed := client.Get(ctx, c.web, server, path, options...)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		e.read = now
		if !list.Unchanged {
			e.etag, e.records = list.ETag, nil
			for _, item := range list.Items {
				var r record
				if item.Decode(&r) == nil { // else it is no record
					e.records = append(e.records, r)
				}
			}
		}
		return nil
	}
	return err
}
