package state

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vera"
)

// twin runs the machine and the model side by side.
type twin struct {
	t       *testing.T
	machine *Machine
	model   *model
	chance  *chance
	index   uint64
	seen    map[string]int // what happened how often, so that the test knows what it tried
	kept    []keptList
}

// keptList is a list as somebody still holds it, and what it was.
type keptList struct {
	list  *List
	items []mItem
}

func newTwin(t *testing.T, seed uint64, limit int) *twin {
	m := newModel()
	return &twin{t: t, machine: New(), model: m, chance: newChance(seed, m, limit), seen: map[string]int{}}
}

// step hands one batch to both, compares all there is, and returns how many
// commands were applied.
func (w *twin) step() (applied int) {
	w.index += 1 + uint64(w.chance.IntN(2))
	if w.chance.one(50) {
		w.machine.Advance(w.index)
		w.index++
	}
	b := w.chance.batch()
	entry := b.Append(nil)
	if w.chance.one(8) {
		w.parsesBack(b, entry)
	}
	out, want := w.machine.Apply(w.index, entry), w.model.apply(w.index, b)
	if err := w.machine.Check(); err != nil {
		w.t.Fatalf("after %d, %+v: %v", w.index, b, err)
	}
	if err := w.compareOutput(b, &out, &want); err != nil {
		w.t.Fatalf("entry %d, %+v: %v", w.index, b, err)
	}
	if err := w.compareState(); err != nil {
		w.t.Fatalf("after %d, %+v: %v", w.index, b, err)
	}
	if w.chance.one(300) {
		w.reload()
	}
	return len(out.Replies)
}

func (w *twin) parsesBack(b Batch, entry []byte) {
	back, err := ParseBatch(entry)
	if err != nil || !bytes.Equal(back.Append(nil), entry) || back.First != b.First || len(back.Commands) != len(b.Commands) {
		w.t.Fatalf("%+v comes back as %+v, %v", b, back, err)
	}
}

func (w *twin) compareOutput(b Batch, out *Output, want *mOutput) error {
	if out.Index != w.index || out.Hash != w.machine.Hash() || out.Peer != b.Peer || out.First != b.First {
		return fmt.Errorf("the output is of %d, %d, %d, hash %x", out.Index, out.Peer, out.First, out.Hash)
	}
	if out.Skipped != want.skipped || len(out.Replies) != len(want.replies) {
		return fmt.Errorf("skipped %v with %d replies, not %v with %d", out.Skipped, len(out.Replies), want.skipped, len(want.replies))
	}
	if out.Skipped {
		w.seen["skipped"]++
	}
	for i, r := range out.Replies {
		if err := w.compareReply(b.Commands[i], r, want.replies[i]); err != nil {
			return fmt.Errorf("reply %d: %w", i, err)
		}
	}
	if !reflect.DeepEqual(append([]SessionChange{}, out.Sessions...), append([]SessionChange{}, want.sessions...)) {
		return fmt.Errorf("sessions: %+v, not %+v", out.Sessions, want.sessions)
	}
	w.seen["late"] += want.late
	for _, s := range out.Sessions {
		w.seen[strings.TrimSpace(fmt.Sprint("session ", s.What, " ", s.Reason))]++
	}
	return w.compareChanges(out, want)
}

func (w *twin) compareReply(c Command, r Reply, want mReply) error {
	w.seen[fmt.Sprint(c.Kind, " ", r.Code)]++
	if r.Code != want.code || r.Version != want.version || r.Life != want.life || r.Resumed != want.resumed || r.Index != w.index {
		return fmt.Errorf("%+v, not %+v", r, want)
	}
	if (r.Code == vera.OK) != (r.Message == "") {
		return fmt.Errorf("%s with the message %q", r.Code, r.Message)
	}
	if (r.List == nil) != (want.list == nil) {
		return fmt.Errorf("list %v, not %v", r.List, want.list)
	}
	if r.List == nil {
		return nil
	}
	return sameList(r.List, want.list)
}

func (w *twin) compareChanges(out *Output, want *mOutput) error {
	if len(out.Changes) != len(want.before) {
		return fmt.Errorf("%d changes, not %d", len(out.Changes), len(want.before))
	}
	if !slices.IsSortedFunc(out.Changes, func(a, b Change) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) }) {
		return fmt.Errorf("the changes are not in the order of their paths")
	}
	gone := 0
	for _, c := range out.Changes {
		before, there := want.before[c.Path]
		if !there {
			return fmt.Errorf("%s changed", c.Path)
		}
		if err := sameList(c.Before, &before); err != nil {
			return fmt.Errorf("%s before: %w", c.Path, err)
		}
		if err := sameList(c.After, w.model.list(c.Path)); err != nil {
			return fmt.Errorf("%s after: %w", c.Path, err)
		}
		_, _, removed := Diff(c.Before, c.After, vera.NoLimit)
		gone += len(removed)
		for _, it := range removed {
			if it.Reason != want.gone[it.Version] || it.Reason == vera.Stays {
				return fmt.Errorf("item %d left with the reason %d, not %d", it.Version, it.Reason, want.gone[it.Version])
			}
		}
		if len(w.kept) > 64 {
			w.kept = w.kept[1:]
		}
		w.kept = append(w.kept, keptList{c.After, slices.Clone(w.model.list(c.Path).items)})
	}
	if gone != len(want.gone) {
		return fmt.Errorf("%d items left, not %d", gone, len(want.gone))
	}
	return nil
}

func sameList(l *List, want *mList) error {
	if l.ETag() != want.etag() || l.Len() != len(want.items) {
		return fmt.Errorf("etag %d with %d items, not %d with %d", l.ETag(), l.Len(), want.etag(), len(want.items))
	}
	return sameItems(l, want.items)
}

func sameItems(l *List, want []mItem) error {
	i := 0
	for it := range l.All() {
		got := mItem{it.Version, it.Updated, it.Session, it.Life, it.Owner, string(it.Data)}
		if i >= len(want) || got != want[i] {
			return fmt.Errorf("item %d is %+v; want %+v", i, got, want)
		}
		i++
	}
	if i != len(want) {
		return fmt.Errorf("%d items, not %d", i, len(want))
	}
	return nil
}

func (w *twin) compareState() error {
	counts := Counts{Sessions: len(w.model.sessions)}
	for _, p := range somePaths {
		l, index := w.machine.List(p)
		want := w.model.list(p)
		if err := sameList(l, want); err != nil || index != w.index {
			return fmt.Errorf("%s at %d: %w", p, index, err)
		}
		counts.Items += len(want.items)
		counts.Lists += min(1, len(want.items))
	}
	doubts := map[vera.SessionID]SessionChange{}
	for c := range w.machine.Doubts() {
		doubts[c.Session] = c
	}
	for _, id := range someSessions {
		s, want := w.machine.Session(id), w.model.session(id)
		if s == nil && want == nil {
			continue
		}
		if s == nil || want == nil {
			return fmt.Errorf("session %s is %v, not %v", id, s, want)
		}
		counts.Watches += len(want.watches)
		if err := w.sameSession(s, want, doubts); err != nil {
			return fmt.Errorf("session %s: %w", id, err)
		}
	}
	if w.machine.Counts() != counts {
		return fmt.Errorf("counts %+v, not %+v", w.machine.Counts(), counts)
	}
	return w.samePeers()
}

func (w *twin) sameSession(s *Session, want *mSession, doubts map[vera.SessionID]SessionChange) error {
	attached := slices.Clone(want.attached)
	slices.SortFunc(attached, func(a, b Attachment) int {
		if a.Peer < b.Peer {
			return -1
		}
		return 1
	})
	grace := want.doubt
	for _, a := range attached {
		grace = max(grace, a.Grace)
	}
	held := w.model.held(want)
	switch {
	case s.ID() != want.id || s.Life() != want.life || s.Since() != want.since || s.Doubt() != want.doubt || s.Grace() != grace:
		return fmt.Errorf("%+v, not %+v", s.facts, want)
	case !slices.Equal(s.Attachments(), attached):
		return fmt.Errorf("attached %+v, not %+v", s.Attachments(), attached)
	case !slices.Equal(s.Watches(), want.watches):
		return fmt.Errorf("watches %+v, not %+v", s.Watches(), want.watches)
	case !slices.Equal(slices.Collect(s.Items()), held) || s.ItemCount() != len(held):
		return fmt.Errorf("holds %v, not %v", slices.Collect(s.Items()), held)
	}
	for _, path := range somePaths {
		if s.WatchChanged(path) != want.arrivals[path] {
			return fmt.Errorf("its watch of %s is of %d, not %d", path, s.WatchChanged(path), want.arrivals[path])
		}
	}
	d, open := doubts[want.id]
	if open != (want.since != 0) || open && d != (SessionChange{want.id, want.life, Detached, want.since, want.doubt, 0}) {
		return fmt.Errorf("the doubt is %+v, not since %d", d, want.since)
	}
	return nil
}

func (w *twin) samePeers() error {
	var want []Peer
	for _, p := range w.model.peers {
		want = append(want, Peer{p.id, p.incarnation, p.last, p.gone})
		if incarnation, last := w.machine.LastSequence(p.id); incarnation != p.incarnation || last != p.last {
			return fmt.Errorf("peer %d is at %d of %d", p.id, last, incarnation)
		}
	}
	if !slices.Equal(w.machine.Peers(), want) {
		return fmt.Errorf("peers %+v, not %+v", w.machine.Peers(), want)
	}
	return nil
}

// reload goes on with what a snapshot gives, and looks whether lists that were
// held all the while are what they were.
func (w *twin) reload() {
	var first, second bytes.Buffer
	image := w.machine.Snapshot()
	if n, err := image.WriteTo(&first); err != nil || n != int64(first.Len()) {
		w.t.Fatal(n, err)
	}
	hash := w.machine.Hash()
	if w.chance.one(2) {
		w.machine = New()
	}
	if err := w.machine.Restore(bytes.NewReader(first.Bytes())); err != nil {
		w.t.Fatalf("after %d: %v", w.index, err)
	}
	if _, err := w.machine.Snapshot().WriteTo(&second); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) || w.machine.Hash() != hash || w.machine.Applied() < image.Index() {
		w.t.Fatalf("after %d: the snapshot of a snapshot is another", w.index)
	}
	for _, k := range w.kept {
		if err := sameItems(k.list, k.items); err != nil {
			w.t.Fatalf("after %d, a list that was held changed: %v", w.index, err)
		}
	}
	if err := w.compareState(); err != nil {
		w.t.Fatalf("restored at %d: %v", w.index, err)
	}
	w.seen["reload"]++
}

// TestMachineAgreesWithModel applies at least 200,000 random commands, and
// verifies every invariant and all there is to be read after each entry.
func TestMachineAgreesWithModel(t *testing.T) {
	seen := map[string]int{}
	total := 0
	for seed, limit := range []int{3, 4, 8, 40} {
		w := newTwin(t, uint64(seed), limit)
		commands := 0
		for commands < 60_000 {
			commands += w.step()
		}
		total += commands
		for what, n := range w.seen {
			seen[what] += n
		}
	}
	for _, what := range []string{
		"push OK", "push PreconditionFailed", "push TooManyRequests", "push InvalidParameter", "push SessionEnded",
		"update OK", "update NotFound", "update Forbidden", "update PreconditionFailed", "update SessionEnded",
		"remove OK", "remove Forbidden", "remove PreconditionFailed", "remove SessionEnded",
		"open OK", "attach OK", "attach SessionEnded", "detach OK", "detach SessionEnded",
		"watch OK", "watch TooManyRequests", "unwatch OK", "late", "end OK", "end SessionEnded", "expire OK", "expire SessionEnded",
		"peer-up OK", "peer-gone OK", "skippable InternalError", "skipped", "reload",
		"session 1", "session 2", "session 3", "session 4 closed", "session 4 expired", "session 4 ended",
	} {
		if seen[what] < 20 {
			t.Errorf("%q happened only %d times", what, seen[what])
		}
	}
	t.Logf("%d commands, %v", total, seen)
}
