package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
)

// keyIDSize is the length of a KeyID in characters.
const keyIDSize = 43

// plain is base64url without padding, and with one spelling for each value.
var plain = base64.RawURLEncoding.Strict()

// KeyID returns the name of a peer's public key: base64url without padding, 43
// characters.
func KeyID(k ed25519.PublicKey) string { return plain.EncodeToString(k) }

// ParseKeyID returns the public key that a KeyID names.
func ParseKeyID(s string) (ed25519.PublicKey, error) {
	if len(s) != keyIDSize {
		return nil, fmt.Errorf("key id: %d characters, must be %d", len(s), keyIDSize)
	}
	k, err := plain.DecodeString(s)
	if err != nil || len(k) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("key id: is not base64url")
	}
	return k, nil
}
