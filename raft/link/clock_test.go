package link

import (
	"testing"
	"time"
)

func TestAWrongClockCutsNobodyOff(t *testing.T) {
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		a := newPeer(t, func(o *Options, _ *limits) { o.Now = func() time.Time { return time.Now().Add(off) } })
		b := newPeer(t, nil)
		a.trust(b)
		b.trust(a)
		for _, key := range []string{b.KeyID(), ""} {
			if answer, err := a.Call(within(t), b.host, key, "greet", []byte("you")); err != nil || string(answer) != "greet you" {
				t.Fatalf("%v off: %q, %v", off, answer, err)
			}
		}
		out, err := a.Dial(within(t), b.host, b.KeyID(), "raft")
		if err != nil {
			t.Fatalf("%v off: %v", off, err)
		}
		out.Close()
		(<-b.streams).Close()
		if n := len(b.asked()); n != 2 {
			t.Errorf("%d calls handled, want 2", n)
		}
		if skew := b.metric("vera_peer_skew_seconds", ""); skew < off.Seconds()-2 || skew > off.Seconds()+2 {
			t.Errorf("%v off: the metric shows %v s", off, skew)
		}
		if n := b.metric("vera_peer_refused_total", "time"); n != 3 {
			t.Errorf("%v refused for their time, want 3", n)
		}
		// And the other way: the server's clock is the wrong one.
		if _, err := b.Call(within(t), a.host, a.KeyID(), "greet", nil); err != nil {
			t.Errorf("%v off: %v", off, err)
		}
	}
}

func TestAGuestWithAWrongClock(t *testing.T) {
	joiner := newPeer(t, func(o *Options, _ *limits) {
		o.Now, o.Cluster = func() time.Time { return time.Now().Add(time.Hour) }, func() string { return "" }
	})
	b := newPeer(t, nil)
	if _, err := joiner.Call(within(t), b.host, "", "join", nil); err != nil {
		t.Fatal(err)
	}
}
