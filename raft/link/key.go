package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vera/raft/sign"
)

// KeyID is how a public key is named: base64url without padding, 43 characters.
func KeyID(key ed25519.PublicKey) string { return sign.KeyID(key) }

// LoadKey reads a peer's key. It refuses a file that anybody but its owner may
// read, and one that is damaged. When there is no file the error is fs.ErrNotExist.
func LoadKey(file string) (ed25519.PrivateKey, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	name := filepath.Base(file)
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %#o): run chmod 600 %s; if somebody else could have read it, remove this peer and join it anew",
			name, mode, file)
	}
	// Both halves are kept: a flipped bit would otherwise be another peer.
	raw := make([]byte, hex.EncodedLen(ed25519.PrivateKeySize)+2)
	n, _ := f.ReadAt(raw, 0)
	key, err := hex.DecodeString(string(bytes.TrimSuffix(raw[:n], []byte("\n"))))
	if err != nil || len(key) != ed25519.PrivateKeySize || !bytes.Equal(key, ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])) {
		return nil, fmt.Errorf("%s is damaged: it does not hold an ed25519 key of %d bytes in hex", name, ed25519.PrivateKeySize) // never its content
	}
	return key, nil
}

// MakeKey makes a new key and writes it, durably, to a file of mode 0600 that
// must not exist yet.
func MakeKey(file string) (ed25519.PrivateKey, error) {
	if _, err := os.Lstat(file); err == nil {
		return nil, fmt.Errorf("%s: %w", file, os.ErrExist)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	fresh := file + ".new" // a crash may leave one
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(fresh, file); err != nil {
		return nil, err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	return key, errors.Join(d.Sync(), d.Close())
}
