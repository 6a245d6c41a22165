package client

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawScene returns connections as they never should be, to peers of which one
// may be out of touch.
func drawScene(t *rapid.T, peers []string) (s *scene, out string) {
	anyone := append([]string{""}, peers...)
	s = &scene{want: majority(len(peers)), leader: rapid.SampledFrom(anyone).Draw(t, "leader")}
	out = rapid.SampledFrom(anyone).Draw(t, "suspended")
	for range rapid.IntRange(0, 6).Draw(t, "links") {
		l := standing{peer: rapid.SampledFrom(peers).Draw(t, "peer"), loud: rapid.Bool().Draw(t, "loud"), ready: rapid.Bool().Draw(t, "ready")}
		l.suspended = l.ready && l.peer == out
		s.links = append(s.links, l)
	}
	return s, out
}

// play does what the cast asks for, as a client would; false when there was
// nothing to do.
func (s *scene) play(t *rapid.T, peers []string, out string) bool {
	coming := func(l standing) bool { return !l.ready }
	s.open = slices.DeleteFunc(slices.Clone(peers), func(p string) bool {
		return slices.ContainsFunc(s.links, func(l standing) bool { return l.peer == p && coming(l) })
	})
	parts := s.cast()
	missing, surplus := s.missing(parts), s.surplus(parts)
	if len(missing) > 0 && len(surplus) > 0 {
		t.Fatal("something is given up before all is made")
	}
	if len(missing)+len(surplus) == 0 && !slices.ContainsFunc(s.links, coming) {
		return false
	}
	for i := len(s.links) - 1; i >= 0; i-- {
		s.links[i].ready, s.links[i].suspended = true, s.links[i].peer == out
		if slices.Contains(surplus, i) {
			s.links = slices.Delete(s.links, i, i+1)
		}
	}
	for _, p := range missing {
		s.links = append(s.links, standing{peer: p.peer, loud: p.loud})
	}
	return true
}

func TestEveryoneFindsHisRole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		peers := []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "peers")]
		s, out := drawScene(t, peers)
		for steps := 0; s.play(t, peers, out); steps++ {
			if steps > 12 {
				t.Fatalf("no rest: %+v", s)
			}
		}
		var at, ears []string
		for _, l := range s.links {
			at = append(at, l.peer)
			if l.loud {
				ears = append(ears, l.peer)
			}
		}
		if len(at) != s.want || len(ears) != 1 {
			t.Fatalf("connected to %v, ears at %v; want %d", at, ears, s.want)
		}
		if s.leader != "" && !slices.Contains(at, s.leader) && s.want > 1 {
			t.Fatalf("connected to %v, %s leads", at, s.leader)
		}
		others := len(peers)
		if out != "" && out != s.leader {
			others--
		}
		if s.leader != "" && ears[0] == s.leader && s.want > 1 && others > 1 {
			t.Fatalf("connected to %v, ears at the leader %s", at, s.leader)
		}
		if ears[0] == out && len(peers) > 1 {
			t.Fatalf("ears at %s, which is out of touch", out)
		}
	})
}

func TestOneConnectionStaysWhereItIs(t *testing.T) {
	s := &scene{want: 1, leader: "b", links: []standing{{peer: "a", loud: true, ready: true}}, open: []string{"b", "c"}}
	parts := s.cast()
	if !slices.Equal(parts, []part{{"a", true}}) || s.missing(parts) != nil || s.surplus(parts) != nil {
		t.Errorf("cast %v", parts)
	}
}

func TestASlowHandshakeHasOthersTried(t *testing.T) {
	s := &scene{want: 2, links: []standing{{peer: "a", loud: true, slow: true}}, open: []string{"b", "c"}}
	if missing := s.missing(s.cast()); len(missing) != 2 || slices.ContainsFunc(missing, func(p part) bool { return p.peer == "a" }) {
		t.Errorf("missing %v", missing)
	}
}

func TestBackoffIsBoundedAndSpread(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 6: 6400 * time.Millisecond, 7: 10 * time.Second, 100: 10 * time.Second} {
		if got := backoffBound(failures); got != want {
			t.Errorf("after %d failures %v at most, want %v", failures, got, want)
		}
	}
	const n = 2000
	low, sum := 0, time.Duration(0)
	for range n {
		d := jitter(time.Second)
		if d < 0 || d >= time.Second {
			t.Fatalf("waits %v", d)
		}
		if d < 100*time.Millisecond {
			low++
		}
		sum += d
	}
	if mean := sum / n; low == 0 || mean < 400*time.Millisecond || mean > 600*time.Millisecond {
		t.Errorf("waits %v on average, %d of %d less than a tenth", mean, low, n)
	}
}

// TestWhoIsAtAGivenPlaceIsToldByTheCluster: so its leader is found there also
// before anybody was. What a handshake found counts more.
func TestWhoIsAtAGivenPlaceIsToldByTheCluster(t *testing.T) {
	a := newAtlas([]string{"http://a", "http://b"})
	for _, p := range a.places {
		if p.url == "http://a" {
			p.peer = "found"
		}
	}
	a.learn([]Item{
		{Version: 1, Data: []byte(`{"name":"a","client":"http://a","role":"follower"}`)},
		{Version: 2, Data: []byte(`{"name":"b","client":"http://b","role":"leader"}`)},
	})
	nobody := func(*place) bool { return false }
	if p := a.find("b", nobody); a.leader() != "b" || p == nil || p.url != "http://b" {
		t.Errorf("%s leads, and is at %+v", a.leader(), p)
	}
	if a.find("found", nobody) == nil || a.find("a", nobody) != nil {
		t.Error("what was found is forgotten for what was told")
	}
}
