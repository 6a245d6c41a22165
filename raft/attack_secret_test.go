package raft

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"

	"vera/raft/sign"
)

// say has a peer answer what somebody asks who is no member, but knows the
// cluster's secret, as every removed peer does.
func say(t *testing.T, to *Raft, key, what string, question any) ([]byte, error) {
	t.Helper()
	body, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return to.called(ctx, caller{key: key, proven: true}, what, body)
}

// The secret lets a stranger ask to join. In a cluster that is well it lets it
// neither pass itself off as a peer, nor talk others out of the cluster, nor
// move them, nor change anything.
func TestAttackWithTheSecretAlone(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		advance(3 * time.Second)
		thief := card{address: "thief:1", key: sign.KeyID(memoryKey("thief").Public().(ed25519.PublicKey)), peer: 0xbad}
		for name, r := range p.peers {
			lie := r.hello()
			lie.ID, lie.Card, lie.Index = "thief-1", thief.String(), 1<<40
			for _, servers := range [][]server{
				{{ID: lie.ID, Card: lie.Card, Voter: true}},
				append([]server{{ID: lie.ID, Card: lie.Card, Voter: true}}, lie.Servers...),
			} {
				lie.Servers = servers
				if _, err := say(t, r, thief.key, callHello, lie); err != nil {
					t.Errorf("%s does not answer a greeting: %v", name, err)
				}
				if r.trusted(thief.key) {
					t.Errorf("%s trusts who says itself that it is a peer", name)
				}
			}
			for other, own := range p.peers { // in another's name, at another place
				c := own.peers.own()
				c.address = "thief:1"
				lie := own.hello()
				lie.Card = c.String()
				_, _ = say(t, r, thief.key, callHello, lie)
				if to := r.book.locate(target{address: "right", key: c.key}); to.address == "thief:1" {
					t.Errorf("%s looks for %s where somebody else says it is", name, other)
				}
			}
			for _, c := range []change{
				{What: changeRemove, ID: r.directory.RaftID}, {What: changeTransfer}, {What: changePromote, ID: r.directory.RaftID},
				{What: changeAdd, ID: lie.ID, Card: lie.Card}, {What: changeCard, ID: r.directory.RaftID, Card: lie.Card},
			} {
				if _, err := say(t, r, thief.key, callChange, c); err == nil {
					t.Errorf("%s makes the change %+v", name, c)
				}
			}
			if _, err := say(t, r, thief.key, callJoin, joining{ID: "x-1", Card: r.peers.own().String(), Ready: true}); err == nil {
				t.Errorf("%s lets somebody join with another's card", name)
			}
		}
		advance(10 * time.Second)
		if !p.agree("a leader, b follower, c follower", "a", "b", "c") {
			t.Errorf("the cluster is %q, %q, %q", list(p.peers["a"]), list(p.peers["b"]), list(p.peers["c"]))
		}
		for name, err := range p.last {
			t.Errorf("%s ended: %v", name, err)
		}
		pushed(t, p.peers["b"], "/data/x", 1)
	})
}
