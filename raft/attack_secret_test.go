package raft

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
				answer, err := say(t, r, thief.key, callChange, c)
				if err != nil || string(answer) != fmt.Sprintf(`{"later":%q}`, errStranger) {
					t.Errorf("%s answers the change %+v with %s, %v", name, c, answer, err)
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

// What a peer that joins says of itself is kept by all and shown to everybody:
// it is short, and its URL is one.
func TestAttackByAJoinersCard(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		a := p.open(p.options("a"))
		good := card{address: "thief:1", client: "https://thief/", key: sign.KeyID(memoryKey("thief").Public().(ed25519.PublicKey)), peer: 0xbad}
		for what, change := range map[string]func(c *card, id *string){
			"a script":         func(c *card, _ *string) { c.client = "javascript:alert(1)//x" },
			"no host":          func(c *card, _ *string) { c.client = "https:///x" },
			"a long URL":       func(c *card, _ *string) { c.client = "https://x/" + strings.Repeat("x", maxCard) },
			"a long address":   func(c *card, _ *string) { c.address = strings.Repeat("x", maxCard) + ":1" },
			"no address":       func(c *card, _ *string) { c.address = "" },
			"a long id":        func(_ *card, id *string) { *id = "thief-" + strings.Repeat("0", 1<<20) },
			"a long name":      func(_ *card, id *string) { *id = strings.Repeat("x", maxName+1) + "-01234567" },
			"a name with ends": func(_ *card, id *string) { *id = "thief\nx-01234567" },
			"no name":          func(_ *card, id *string) { *id = "-01234567" },
			"no random part":   func(_ *card, id *string) { *id = "thief" },
			"another peer's":   func(_ *card, id *string) { *id = a.directory.RaftID },
			"a peer's name":    func(_ *card, id *string) { *id = "a-01234567" },
			"a peer's number":  func(c *card, _ *string) { c.peer = a.directory.id },
		} {
			c, id := good, "thief-01234567"
			change(&c, &id)
			for _, ready := range []bool{false, true} {
				answer, err := say(t, a, c.key, callJoin, joining{ID: id, Card: c.String(), Ready: ready})
				if _, refused := errors.AsType[*refusal](err); err == nil || !refused && c.address != "" {
					t.Errorf("%s: %s, %v", what, answer, err)
				}
			}
		}
		if list(a) != "a leader" {
			t.Errorf("the cluster is %q", list(a))
		}
		if _, err := say(t, a, good.key, callJoin, joining{ID: "thief-01234567", Card: good.String()}); err != nil {
			t.Errorf("a sound one is refused: %v", err)
		}
	})
}
