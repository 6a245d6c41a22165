package link

import (
	"errors"
	"sync/atomic"
	"testing"
)

// A peer that is removed while a stream to it is being opened: either Cut finds
// the stream, or it is not opened. Membership is lost at every look in turn,
// and Cut is called at that very moment.
func TestAttackNoStreamOutlivesARemoval(t *testing.T) {
	for last := range int32(4) {
		var looks, armed atomic.Int32
		var a *peer
		a = newPeer(t, func(o *Options, _ *limits) {
			trusted := o.Trusted
			o.Trusted = func(key string) bool {
				if armed.Load() == 0 {
					return trusted(key)
				}
				n := looks.Add(1)
				if n == last+1 {
					armed.Store(2) // removed
					a.Cut()
				}
				return armed.Load() == 1
			}
		})
		b := newPeer(t, nil)
		a.trust(b)
		b.trust(a) // it does not know yet
		armed.Store(1)
		out, err := a.Dial(within(t), b.host, b.KeyID(), "raft")
		if armed.Load() != 2 { // the removal comes after all looks
			armed.Store(2)
			a.Cut()
		}
		if err == nil {
			ended(t, "a stream to who was removed", out)
		}
		eventually(t, "nothing is open to who was removed", func() bool { return a.count(false) == 0 })
	}
}

func TestAttackNoStreamToWhoIsNoMember(t *testing.T) {
	a, b := newPeer(t, nil), newPeer(t, nil)
	b.trust(a)
	if c, err := a.Dial(within(t), b.host, b.KeyID(), "raft"); !errors.Is(err, errNoMember) {
		t.Errorf("%v, %v", c, err)
	}
	if len(b.streams) != 0 || a.count(false) != 0 {
		t.Error("it was opened")
	}
}
