package raft

import (
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	rumourLasts = 3 * lookEvery // unless it is repeated
	maxRumours  = 16
)

// rumour is a configuration told by somebody who proved nothing but the
// cluster's secret, as a removed peer could, too. A peer needs it that comes
// back after all others were replaced. It is a peer's own business what others
// it believes meanwhile: so each is kept apart from the others, from what is
// known, and from the disk; none outweighs another by its index; and it counts
//
//   - only if it is told while no leader is heard and those who answer are no
//     majority of the newest configuration known otherwise: a majority has one
//     among it that knows of the next configuration, if there is any;
//   - until somebody of that configuration is in touch with a leader, the log is
//     as far, or it is not repeated for rumourLasts.
type rumour struct {
	index uint64
	keys  map[string]bool
	until time.Time
}

// spread takes a rumour, unless there are too many.
func (b *book) spread(by string, index uint64, servers []server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.rumours[by]; !known && len(b.rumours) >= maxRumours {
		return
	}
	keys := map[string]bool{}
	for _, s := range servers {
		if c, err := s.card(); err == nil {
			keys[c.key] = true
		}
	}
	b.rumours[by] = rumour{index, keys, time.Now().Add(rumourLasts)}
}

// spreads says whether a rumour came from who has the key.
func (b *book) spreads(by string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.rumours[by]
	return known
}

// rumoured says whether a rumour names a key.
func (b *book) rumoured(key string, applied uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, r := range b.rumours {
		if r.keys[key] && r.index > applied && now.Before(r.until) {
			return true
		}
	}
	return false
}

// quell forgets the rumours that are over, or all, and says whether there were
// any.
func (b *book) quell(all bool) (were bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for by, r := range b.rumours {
		if all || !now.Before(r.until) {
			delete(b.rumours, by)
			were = true
		}
	}
	return were
}

// quell ends the rumours that are over, or all, and cuts off who is trusted for
// nothing else.
func (r *Raft) quell(all bool) {
	if r.book.quell(all) {
		r.network.cut()
	}
}

// rumour takes what somebody says who proved only the secret.
func (r *Raft) rumour(c card, h hello) {
	_, index := r.peers.configuration()
	if (r.deserted.Load() || r.book.spreads(c.key)) && h.Index > index && h.has(r.directory.RaftID) {
		r.book.spread(c.key, h.Index, h.Servers)
	}
}

// sameCluster says whether a greeting is of another peer of the cluster that this one is
// in.
func (r *Raft) sameCluster(h hello) bool {
	s := r.directory.now()
	return s.Formed && h.Formed && h.Cluster == s.Cluster && h.ID != r.directory.RaftID
}

// desert notes, when no leader is heard, whether those who answered a greeting,
// with this peer, are no majority of the newest configuration that is known
// otherwise than by rumours; and if so, listens to those.
func (r *Raft) desert(greeted []target, failed map[target]error, hellos []hello) {
	here := map[string]bool{r.directory.Key: true}
	for _, to := range greeted {
		if to.key != "" && failed[to] == nil {
			here[to.key] = true
		}
	}
	servers, index := r.peers.configuration()
	voters := r.book.votes(index)
	if len(voters) == 0 {
		for _, s := range servers {
			if c, err := parseCard(s.Address); err == nil && s.Suffrage == hraft.Voter {
				voters = append(voters, c.key)
			}
		}
	}
	answer := 0
	for _, key := range voters {
		if here[key] {
			answer++
		}
	}
	few := 2*answer <= len(voters)
	r.deserted.Store(few)
	if !few {
		r.quell(true)
		return
	}
	for _, h := range hellos {
		c, err := parseCard(hraft.ServerAddress(h.Card))
		if err != nil || !r.sameCluster(h) || here[c.key] {
			continue
		}
		if h.Index > r.directory.now().Since && !h.has(r.directory.RaftID) {
			r.options.Logger.Error().Str("peer", h.ID).Msg("a peer that this one does not know, but that knows the cluster's secret, says that this one was removed from the cluster: if so, begin with an empty --data-dir")
		}
		r.rumour(c, h)
	}
}
