package client

import "slices"

// standing is a connection as roles sees it.
type standing struct {
	peer      string // its name; of one that is not known, its server's URL
	loud      bool   // it wants notifications
	ready     bool   // the session is known to be attached to it; else it is being made
	slow      bool   // it is being made for so long that others are tried beside it
	suspended bool   // its peer is out of touch with the majority
}

// scene is what decides which connections should be there.
type scene struct {
	want   int    // how many
	leader string // the peer that leads; "": none is known
	links  []standing
	open   []string // further peers that may be tried now, the best first
}

// part is a connection that should be there.
type part struct {
	peer string
	loud bool
}

// cast returns the connections that should be there: the ears first. It knows
// nothing of what is there already but that it is better than something new.
func (s *scene) cast() []part {
	peers := s.reachable()
	want := min(s.want, len(peers))
	if want == 0 {
		return nil
	}
	ears := slices.MinFunc(peers, func(a, b string) int { return s.deaf(a, want) - s.deaf(b, want) })
	all := []part{{ears, true}}
	add := func(peer string) {
		taken := slices.ContainsFunc(all, func(p part) bool { return p.peer == peer })
		if len(all) < want && !taken {
			all = append(all, part{peer, false})
		}
	}
	if slices.Contains(peers, s.leader) {
		add(s.leader)
	}
	for _, peer := range peers {
		add(peer)
	}
	return all
}

// reachable returns the peers that there are connections to, the best first,
// and then those that may be tried.
func (s *scene) reachable() (peers []string) {
	for _, fits := range []func(standing) bool{
		func(l standing) bool { return l.ready && !l.suspended },
		func(l standing) bool { return l.ready || !l.slow },
	} {
		for _, l := range s.links {
			if fits(l) && !slices.Contains(peers, l.peer) {
				peers = append(peers, l.peer)
			}
		}
	}
	for _, peer := range s.open {
		if !slices.Contains(peers, peer) {
			peers = append(peers, peer)
		}
	}
	return peers
}

// deaf says how unfit a peer is to be listened to: one that is out of touch
// most of all; the leader, so that one death does not take both ways; then one
// where there is no connection that listens, or none at all.
func (s *scene) deaf(peer string, want int) (unfit int) {
	if want > 1 && peer == s.leader {
		unfit += 16
	}
	best := 8
	for _, l := range s.links {
		switch {
		case l.peer != peer:
			continue
		case l.suspended:
			unfit |= 32
		}
		switch {
		case l.loud && l.ready:
			best = 0
		case l.loud && !l.slow:
			best = min(best, 2)
		case l.ready:
			best = min(best, 4)
		}
	}
	return unfit + best
}

// missing returns the parts that nobody plays or is about to.
func (s *scene) missing(all []part) (none []part) {
	for _, p := range all {
		if !slices.ContainsFunc(s.links, func(l standing) bool { return l.peer == p.peer && l.loud == p.loud }) {
			none = append(none, p)
		}
	}
	return none
}

// surplus returns the places in links of those connections that are not
// needed. There are none before all that should be there are ready: what is
// new is made before what is old is given up.
func (s *scene) surplus(all []part) (places []int) {
	kept := make(map[int]bool, len(all))
	for _, p := range all {
		i := slices.IndexFunc(s.links, func(l standing) bool { return l.ready && l.peer == p.peer && l.loud == p.loud })
		if i < 0 {
			return nil
		}
		kept[i] = true
	}
	for i := range s.links {
		if !kept[i] {
			places = append(places, i)
		}
	}
	return places
}

// majority returns how many of n are more than half.
func majority(n int) int { return n/2 + 1 }
