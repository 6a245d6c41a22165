package ws

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"vera"
)

// fake is a peer in memory: lists, sessions with their grace, watches.
type fake struct {
	limits vera.Limits

	mu       sync.Mutex
	index    uint64
	lists    map[vera.Path]*fakeList
	sessions map[vera.SessionID]*fakeSession
	changed  chan struct{} // closed at the next change
	status   vera.Status
	refusal  error // of Connect
	hellos   []vera.Hello
	endings  []vera.Ending
	sockets  []vera.Socket
}

type fakeList struct {
	items   []*vera.Item
	changed uint64
}

type fakeSession struct {
	connections map[*fakeConnection]bool
	life        uint64
	resumed     bool
}

func newFake(l vera.Limits) *fake {
	return &fake{
		limits: l, index: 10, lists: map[vera.Path]*fakeList{}, sessions: map[vera.SessionID]*fakeSession{},
		changed: make(chan struct{}), status: vera.Status{Peer: "a", Leader: "a", LastContact: 3 * time.Millisecond},
	}
}

// step begins a change, under the lock.
func (f *fake) step() uint64 {
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
	return f.index
}

func (f *fake) list(p vera.Path) *fakeList {
	if f.lists[p] == nil {
		f.lists[p] = &fakeList{}
	}
	return f.lists[p]
}

func (f *fake) listing(p vera.Path, limit int) vera.Listing {
	l := f.list(p)
	shown := l.items
	if limit >= 0 {
		shown = shown[:min(limit, len(shown))]
	}
	out := vera.Listing{Index: f.index, Total: len(l.items), Shown: len(shown), Items: slices.Values(slices.Clone(shown))}
	if len(l.items) > 0 {
		out.ETag = l.changed
	}
	return out
}

// push puts an item at the end of a list, for a session or for nobody.
func (f *fake) push(p vera.Path, s vera.SessionID, owner, data string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, version := f.list(p), f.step()
	l.items = append(slices.Clone(l.items), &vera.Item{Origin: &vera.Origin{Version: version, Session: s, Owner: owner}, Data: []byte(data)})
	l.changed = version
	f.notify()
	return version
}

// removeOf removes all items of a session, under the lock.
func (f *fake) removeOf(s vera.SessionID, why vera.Reason) {
	index := f.step()
	for _, l := range f.lists {
		kept := slices.DeleteFunc(slices.Clone(l.items), func(it *vera.Item) bool {
			if it.Session == s {
				it.Reason = why
			}
			return it.Session == s
		})
		if len(kept) < len(l.items) {
			l.items, l.changed = kept, index
		}
	}
	f.notify()
}

func (f *fake) Status() vera.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Applied, f.status.Committed = f.index, max(f.status.Committed, f.index)
	return f.status
}

// reach waits until an index is applied, and then holds the lock.
func (f *fake) reach(ctx context.Context, index uint64) error {
	for {
		f.mu.Lock()
		if f.index >= index {
			return nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (f *fake) Get(ctx context.Context, r vera.Read) (vera.Listing, error) {
	if r.Consistent && f.Status().Leader == "" {
		return vera.Listing{}, &vera.Error{Code: vera.Unavailable, Message: "no leader", Applied: vera.AppliedNo}
	}
	if err := f.reach(ctx, r.MinIndex); err != nil {
		return vera.Listing{}, err
	}
	defer f.mu.Unlock()
	return f.listing(r.Path, r.Limit), nil
}

func (f *fake) Session(_ context.Context, h vera.Hello) (vera.SessionInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, lives := f.sessions[h.Session]
	return vera.SessionInfo{Session: h.Session, Resumed: lives && h.Offered, Grace: h.Grace, Heartbeat: h.Heartbeat, Peer: "a", Leader: "a", Index: f.index}, nil
}

func (f *fake) Connect(_ context.Context, h vera.Hello, s vera.Socket) (vera.Connection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusal != nil {
		return nil, f.refusal
	}
	c := &fakeConnection{fake: f, hello: h, socket: s, watches: map[vera.Path]*fakeFollower{}}
	session := f.sessions[h.Session]
	if session == nil {
		session = &fakeSession{connections: map[*fakeConnection]bool{}, life: f.step()}
		f.sessions[h.Session] = session
	} else {
		session.resumed = true
	}
	session.connections[c] = true
	f.hellos, f.sockets = append(f.hellos, h), append(f.sockets, s)
	return c, nil
}

// lastHello returns what the last client said.
func (f *fake) lastHello() vera.Hello {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hellos[len(f.hellos)-1]
}

func (f *fake) ended() []vera.Ending {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.endings)
}

// fakeFollower tells of one list, to an HTTP client or to a connection.
type fakeFollower struct {
	fake  *fake
	path  vera.Path
	limit int
	told  []*vera.Item
	at    uint64 // the list's change that was told last
	began bool
}

func (f *fake) Follow(ctx context.Context, r vera.Read) (vera.Follower, error) {
	if err := f.reach(ctx, max(r.MinIndex, r.Since)); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	w := &fakeFollower{fake: f, path: r.Path, limit: r.Limit}
	if l := f.list(r.Path); r.Since != 0 && l.changed <= r.Since && len(l.items) > 0 {
		w.next() // it knows the list as it is
	}
	return w, nil
}

func (w *fakeFollower) Close() {}

func (w *fakeFollower) Next(ctx context.Context) ([]byte, uint64, error) {
	for {
		w.fake.mu.Lock()
		n, changed := w.next(), w.fake.changed
		w.fake.mu.Unlock()
		if n != nil {
			return vera.AppendNotification(nil, *n, vera.OwnerAddress), n.Index, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-changed:
		}
	}
}

// next returns what is to be told, under the lock; nil: nothing.
func (w *fakeFollower) next() *vera.Notification {
	l, now := w.fake.list(w.path), w.fake.listing(w.path, w.limit)
	items := slices.Collect(now.Items)
	n := &vera.Notification{Path: w.path, Index: now.Index, ETag: now.ETag, Items: now.Items}
	defer func() { w.told, w.at, w.began = items, l.changed, true }()
	if !w.began {
		n.Reset = true
		return n
	}
	if l.changed == w.at {
		return nil
	}
	for _, it := range items {
		if !slices.Contains(w.told, it) {
			n.Added = append(n.Added, it)
		}
	}
	for _, it := range w.told {
		if !slices.Contains(items, it) {
			n.Removed = append(n.Removed, it)
		}
	}
	if len(n.Added)+len(n.Removed) == 0 {
		return nil
	}
	return n
}

// fakeConnection answers requests as they come.
type fakeConnection struct {
	fake    *fake
	hello   vera.Hello
	socket  vera.Socket
	queue   [][]byte
	watches map[vera.Path]*fakeFollower
}

func (c *fakeConnection) Receive(message []byte) bool {
	r, err := vera.ParseRequest(message, &c.fake.limits)
	if refused, ok := errors.AsType[*vera.Error](err); ok {
		c.say(vera.AppendError(nil, r.RID, refused))
		return true
	}
	version := uint64(0)
	if r.Action == vera.ActionPush {
		version = c.fake.push(r.Path, c.hello.Session, c.hello.Owner, string(r.Data))
	}
	c.fake.mu.Lock()
	answer := c.answer(r, version)
	c.fake.mu.Unlock()
	c.say(answer)
	if r.Action == vera.ActionClose {
		c.socket.Close(vera.CloseDone, "closed")
	}
	return true
}

// answer makes the answer, under the lock.
func (c *fakeConnection) answer(r vera.Request, version uint64) []byte {
	switch r.Action {
	case vera.ActionWatch:
		w := &fakeFollower{fake: c.fake, path: r.Path, limit: r.Limit}
		w.next()
		c.watches[r.Path] = w
	case vera.ActionUnwatch:
		delete(c.watches, r.Path)
		return vera.AppendOK(nil, r.RID)
	case vera.ActionPing:
		return vera.AppendPing(nil, r.RID, c.hello.Grace, c.fake.index)
	case vera.ActionSession:
		s := c.fake.sessions[c.hello.Session]
		return vera.AppendSession(nil, r.RID, vera.SessionInfo{Session: c.hello.Session, Resumed: s.resumed, Grace: c.hello.Grace, Heartbeat: c.hello.Heartbeat})
	case vera.ActionClose:
		return vera.AppendOK(nil, r.RID)
	}
	return vera.AppendListing(nil, r.RID, vera.OK, "", c.fake.listing(r.Path, r.Limit), version, vera.OwnerAddress)
}

func (c *fakeConnection) say(message []byte) {
	c.fake.mu.Lock()
	c.queue = append(c.queue, message)
	c.fake.mu.Unlock()
	c.socket.Wake()
}

// notify wakes all watchers, under the lock.
func (f *fake) notify() {
	for _, s := range f.sessions {
		for c := range s.connections {
			go c.socket.Wake()
		}
	}
}

func (c *fakeConnection) Pull(batch [][]byte, _ int) [][]byte {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	for _, w := range c.watches {
		if n := w.next(); n != nil && !c.hello.Quiet {
			c.queue = append(c.queue, vera.AppendNotification(nil, *n, vera.OwnerAddress))
		}
	}
	batch = append(batch, c.queue...)
	c.queue = nil
	return batch
}

func (c *fakeConnection) Closed(how vera.Ending) {
	f := c.fake
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endings = append(f.endings, how)
	s := f.sessions[c.hello.Session]
	delete(s.connections, c)
	if len(s.connections) > 0 {
		return
	}
	if how == vera.EndedClean || c.hello.Grace == 0 {
		f.over(c.hello.Session, vera.Closed)
		return
	}
	life := s.life
	time.AfterFunc(c.hello.Grace, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if s := f.sessions[c.hello.Session]; s != nil && s.life == life && len(s.connections) == 0 {
			f.over(c.hello.Session, vera.Expired)
		}
	})
}

func (f *fake) over(id vera.SessionID, why vera.Reason) {
	delete(f.sessions, id)
	f.removeOf(id, why)
}
