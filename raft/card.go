package raft

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	hraft "github.com/hashicorp/raft"

	"vera/raft/link"
	"vera/raft/state"
)

// card is what the cluster knows of a peer beside its Raft id. It is the
// peer's address in hashicorp/raft's configuration, so that keys and who
// belongs to the cluster are replicated together, by one entry of the log:
//
//	https://HOST:PORT?client=URL&key=KEYID&peer=HEX
//
// hashicorp/raft keeps the address of whom it voted for: a card names a key, so
// that no two peers ever have the same.
type card struct {
	address string       // host:port of its peer listener; "": it was never in company
	client  string       // URL for clients; may be ""
	key     string       // link.KeyID of it
	peer    state.PeerID // under which it hands over commands
}

const (
	cardScheme = "https://"
	maxCard    = 2048 // bytes of a card that the cluster takes up
)

// keyOf names the public half of a key.
func keyOf(key ed25519.PrivateKey) string { return link.KeyID(key.Public().(ed25519.PublicKey)) }

// String returns the card as an address; parseCard reads it.
func (c card) String() string {
	q := url.Values{}
	q.Set("client", c.client)
	q.Set("key", c.key)
	q.Set("peer", strconv.FormatUint(uint64(c.peer), 16))
	return cardScheme + c.address + "?" + q.Encode()
}

// target is where the peer is spoken with.
func (c card) target() target { return target{c.address, c.key} }

// parseCard reads an address. An older directory holds a bare Raft id there,
// of a peer that is alone: the error says only that it is no card.
func parseCard(address hraft.ServerAddress) (c card, err error) {
	u, err := url.Parse(string(address))
	if err != nil || u.Scheme+"://" != cardScheme || u.Path != "" || u.User != nil {
		return c, errors.New("no card of a peer")
	}
	q := u.Query()
	id, err := strconv.ParseUint(q.Get("peer"), 16, 64)
	public, bad := base64.RawURLEncoding.Strict().DecodeString(q.Get("key"))
	if err != nil || bad != nil || id == 0 || len(public) != ed25519.PublicKeySize {
		return c, errors.New("a peer's card without its id or key")
	}
	c = card{address: u.Host, client: q.Get("client"), key: q.Get("key"), peer: state.PeerID(id)}
	if c.address != "" {
		err = checkAddress(c.address)
	}
	return c, err
}

// checkAddress refuses what can't be dialed.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("%q is not HOST:PORT of a peer listener", address)
	}
	return nil
}

// checkCard refuses a card that others should not be shown: everybody gets to
// see the URL for clients, some as a link.
func checkCard(c card) error {
	if n := len(c.String()); n > maxCard {
		return fmt.Errorf("a peer's card has %d bytes, at most %d", n, maxCard)
	}
	u, err := url.Parse(c.client)
	if c.client != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("a peer's URL for clients is http://... or https://...: %.100q is not", c.client)
	}
	return nil
}
