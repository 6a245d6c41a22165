package raft

import (
	"crypto/ed25519"
	"strings"
	"testing"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

func TestCardIsReadAsItWasWritten(t *testing.T) {
	key := keyOf(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if len(key) != 43 {
		t.Fatalf("a key id has %d characters", len(key))
	}
	for _, c := range []card{
		{key: key, peer: 1},
		{address: "10.0.0.1:8373", client: "http://10.0.0.1:8372", key: key, peer: 1 << 63},
		{address: "[::1]:8373", client: "https://vera.example/?a=b&key=c#d", key: key, peer: 0xbeef},
		{address: "one.example:8373", key: key, peer: ^state.PeerID(0)},
	} {
		got, err := parseCard(hraft.ServerAddress(c.String()))
		if err != nil || got != c {
			t.Errorf("%s is read as %+v, %v", c, got, err)
		}
	}
	good := card{address: "h:1", key: key, peer: 1}.String()
	for _, bad := range []string{
		"", "a-0badcafe", "https://", "https://h:1", "h:1?key=" + key + "&peer=1",
		strings.Replace(good, "peer=1", "peer=0", 1), strings.Replace(good, "peer=1", "peer=x", 1),
		strings.Replace(good, key, key[1:], 1), strings.Replace(good, "https", "http", 1),
		strings.Replace(good, "h:1", "h", 1), strings.Replace(good, "h:1", ":1", 1), strings.Replace(good, "?", "/p?", 1),
	} {
		if c, err := parseCard(hraft.ServerAddress(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}
