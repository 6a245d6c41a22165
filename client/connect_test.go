package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientKeepsAMajority(t *testing.T) {
	for _, c := range []struct {
		names, given, want []string
		o                  Connections
	}{
		{[]string{"a"}, []string{"a"}, []string{"a!"}, Majority},
		{[]string{"a", "b", "c"}, []string{"a"}, nil, Majority},
		{[]string{"a", "b", "c"}, []string{"b", "a"}, nil, Majority},
		{[]string{"a", "b", "c"}, []string{"b", "c", "a"}, nil, Majority},
		{[]string{"a", "b", "c", "d", "e"}, []string{"c"}, nil, Majority},
		{[]string{"a", "b", "c"}, []string{"c"}, []string{"c!"}, One},
	} {
		inWorld(t, c.names, func(t *testing.T, w *world) {
			o := w.options()
			o.Connections = c.o
			client := w.connect(o, c.given...)
			got := w.connections()
			if c.want != nil && !slices.Equal(got, c.want) {
				t.Errorf("%d peers: connected to %v, want %v", len(c.names), got, c.want)
			}
			if c.want == nil && (len(got) != majority(len(c.names)) || got[0] != "a" || loud(got) != 1) {
				t.Errorf("%d peers: connected to %v: the leader is a", len(c.names), got)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// loud counts the connections that listen.
func loud(connections []string) (n int) {
	for _, name := range connections {
		if name[len(name)-1] == '!' {
			n++
		}
	}
	return n
}

func TestConnectSaysWhyItCannot(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		w.dead["a"] = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := Connect(ctx, []string{"http://a"}, w.options())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("nobody there: %v", err)
		}
		if tries := len(w.dialled); tries < 10 || tries > 40 {
			t.Errorf("%d tries in a minute", tries)
		}
		w.dead["a"], w.refuse = false, 400
		_, err = Connect(t.Context(), []string{"http://a"}, w.options())
		if refused, is := errors.AsType[*Refused](err); !is || refused.Status != 400 {
			t.Errorf("refused: %v", err)
		}
		for _, servers := range [][]string{nil, {"ftp://a"}} {
			if _, err := Connect(t.Context(), servers, w.options()); err == nil {
				t.Errorf("%v was connected to", servers)
			}
		}
	})
}

func TestStatesAreTold(t *testing.T) {
	inWorld(t, []string{"a", "b"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b")
		var told []State
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for state := range c.States(context.Background()) {
				told = append(told, state)
			}
		}()
		synctest.Wait()
		w.suspend("a", "suspended")
		pass(time.Second)
		w.suspend("b", "suspended")
		pass(time.Second)
		w.suspend("a", "connected")
		pass(time.Second)
		w.kill("a")
		w.kill("b")
		pass(time.Second)
		if err := c.Leave(); err != nil || !errors.Is(c.Err(), ErrClosed) {
			t.Errorf("left: %v, %v", err, c.Err())
		}
		<-ended
		want := []State{StateConnected, StateSuspended, StateConnected, StateConnecting, StateClosed}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if _, _, err := c.Push(t.Context(), "/data/a", struct{}{}); !errors.Is(err, ErrClosed) {
			t.Errorf("a push after the end: %v", err)
		}
	})
}

func TestCloseEndsTheSessionAndLeaveDoesNot(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		for goodbye, want := range map[string]int{"close": 0, "leave": 1} {
			c := w.connect(w.options(), "a")
			h, _, err := c.Push(t.Context(), "/data/"+goodbye, struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			end := c.Close
			if goodbye == "leave" {
				end = c.Leave
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			if left := len(w.data("/data/" + goodbye)); left != want {
				t.Errorf("%s left %d items, want %d", goodbye, left, want)
			}
			if <-h.Lost(); h.Reason() != "closed" {
				t.Errorf("%s: the item is lost: %q", goodbye, h.Reason())
			}
		}
	})
}

func TestTheLeaderMovesAndConnectionsAreMadeBeforeOthersAreGivenUp(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		for _, leader := range []string{"b", "c", "a", "c", "b"} {
			w.lead(leader)
			pass(time.Minute)
			got := w.connections()
			if len(got) != 2 || !slices.Contains(got, leader) || loud(got) != 1 {
				t.Errorf("%s leads, connected to %v", leader, got)
			}
		}
		w.do(func() {
			if len(w.left) == 0 {
				t.Error("no connection was given up")
			}
			for _, how := range w.left {
				if !strings.Contains(how, "1001, 2 stay") && !strings.Contains(how, "1001, 3 stay") {
					t.Errorf("a connection was given up before others were made: %s", how)
				}
			}
		})
		if state := c.State(); state != StateConnected {
			t.Errorf("the client is %s", state)
		}
		c.Close()
	})
}

func TestASilentPeerIsGivenUp(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		for _, name := range w.connections() {
			if loud([]string{name}) == 1 {
				w.do(func() { w.mute[name[:1]] = true })
			}
		}
		pass(50 * time.Second)
		for range 3 {
			if _, err := c.Get(t.Context(), "/data/a"); err != nil {
				t.Error(err)
			}
		}
		if c.State() != StateConnected {
			t.Error("not connected")
		}
		c.Leave()
	})
}

func TestASuspendedPeerIsNotListenedTo(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		before := w.connections()
		ears := before[slices.IndexFunc(before, func(s string) bool { return len(s) == 2 })]
		w.suspend(ears[:1], "suspended")
		pass(10 * time.Second)
		after := w.connections()
		if slices.Contains(after, ears) || loud(after) != 1 || !slices.Contains(after, "a") {
			t.Errorf("at %v, then at %v", before, after)
		}
		c.Close()
	})
}

// TestOneClientIsOneSession has the first handshake be slow, so that another
// one gets the cookie first.
func TestOneClientIsOneSession(t *testing.T) {
	for _, slow := range []string{"a", "b"} {
		inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
			w.slow = slow
			c := w.connect(w.options(), "a", "b")
			w.do(func() {
				for _, g := range w.guests {
					if g.cookie != c.Cookie() {
						t.Errorf("at %s it is another session", g.peer)
					}
				}
			})
			if got := w.connections(); len(got) != 2 || loud(got) != 1 {
				t.Errorf("connected to %v", got)
			}
			c.Close()
		})
	}
}
