package raft

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// The files of a data directory, beside log/ and snapshots/.
const (
	claimFile    = "in-use"
	identityFile = "peer.json"
	cookieFile   = "cookie.key"
	keyFile      = "peer.key"

	format        = 2 // of the directory; a newer one is refused. 1 knew of no company
	clusterDigits = 32
	cookieBytes   = 32
	maxName       = 255 // bytes of a peer's name
	idBytes       = 4   // of the random part of a Raft id
	maxSmall      = 64 << 10
)

// ClusterID names a cluster: 32 hex digits, made at random when it is formed.
type ClusterID string

// identity says whose data a directory holds.
type identity struct {
	Format int    `json:"format"`
	Peer   string `json:"peer"`          // state.PeerID in hex
	Name   string `json:"name"`          // --name
	RaftID string `json:"raftId"`        // the name and a random part: an empty directory never votes as the old one
	Key    string `json:"key,omitempty"` // link.KeyID of the key in keyFile
	standing

	id state.PeerID // Peer
}

// standing is how a peer stands to a cluster. It changes while others may ask
// for it: directory.now and directory.become are for that.
type standing struct {
	Cluster ClusterID `json:"cluster"`           // the peer's, or until it is formed the one that it would form
	Formed  bool      `json:"formed"`            // it has a log, or had one
	Since   uint64    `json:"since,omitempty"`   // index of the configuration with which it came to the cluster
	Joining bool      `json:"joining,omitempty"` // it is of Cluster, and may have begun its log
	Promise *promise  `json:"promise,omitempty"`
	Founder bool      `json:"founder,omitempty"` // it asked for promises, once: who gave one knows it by its Raft id
	Removed bool      `json:"removed,omitempty"` // from the cluster, for ever
}

// directory is a peer's data directory, claimed by this process until release.
type directory struct {
	identity // its standing is guarded by mu
	files
	path   string
	claim  io.Closer
	cookie []byte
	key    ed25519.PrivateKey
	mu     sync.Mutex
}

// files are the small files of a data directory: a folder's, or those of a disk
// in Memory.
type files interface {
	// blank says why no new peer may begin here; nil: one may.
	blank() error
	// read returns what a file holds, or fs.ErrNotExist.
	read(name string) ([]byte, error)
	// secret reads a file that nobody but its owner may read.
	secret(name string) ([]byte, error)
	// write replaces a file in one step, durably.
	write(name string, content []byte) error
	// measure returns how many bytes of the disk are free, and all it has.
	measure() (free, size uint64, err error)
}

// openDirectory opens the data directory, or the disk in Memory.
func (o *Options) openDirectory() (*directory, error) {
	if o.Memory == nil {
		return openDirectory(o.Dir, o.Name, o.Cluster)
	}
	disk, err := o.Memory.disk(o.Name).claim()
	if err != nil {
		return nil, err
	}
	d := &directory{files: disk, path: o.Name, claim: disk}
	if err := d.load(o.Name, o.Cluster); err != nil {
		return nil, errors.Join(fmt.Errorf("disk of %s: %w", o.Name, err), d.release())
	}
	return d, nil
}

// openDirectory claims a data directory and reads whose it is, or makes a new
// one.
func openDirectory(path, name string, cluster ClusterID) (*directory, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := makeDirectory(path); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	claim, err := claimDirectory(path)
	if err != nil {
		return nil, err
	}
	d := &directory{files: folder(path), path: path, claim: claim}
	if err := d.load(name, cluster); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, err), d.release())
	}
	return d, nil
}

func checkName(name string) error {
	printable := func(r rune) bool { return r > ' ' && r != 0x7f }
	if name == "" || len(name) > maxName || strings.IndexFunc(name, func(r rune) bool { return !printable(r) }) >= 0 {
		return fmt.Errorf("a peer's name is 1 to %d bytes without spaces: %q is not", maxName, name)
	}
	return nil
}

// checkRaftID checks that an id is a name and the random part behind it.
func checkRaftID(id string) error {
	name := peerName(hraft.ServerID(id))
	random, err := hex.DecodeString(strings.TrimPrefix(id[len(name):], "-"))
	if err != nil || len(random) != idBytes {
		return errors.New("a peer's Raft id is its name, - and 8 hexadecimal digits")
	}
	return checkName(name)
}

// makeDirectory makes a directory for its owner only, and those above it.
func makeDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(filepath.Clean(path)))
}

// claimDirectory keeps a second process out for as long as the file is open.
// The kernel lets go of it when this process ends, however it ends.
func claimDirectory(path string) (*os.File, error) {
	claim, err := os.OpenFile(filepath.Join(path, claimFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(claim.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := claim.ReadAt(holder, 0)
		err = fmt.Errorf("data directory %s is in use by process %s: stop that one, or give this one another --data-dir",
			path, strings.TrimSpace(string(holder[:n])))
		return nil, errors.Join(err, claim.Close())
	}
	err = claim.Truncate(0)
	if err == nil {
		_, err = claim.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, err), claim.Close())
	}
	return claim, nil
}

// release lets another process have the directory. It may be called again.
func (d *directory) release() error {
	if d.claim == nil {
		return nil
	}
	claim := d.claim
	d.claim = nil
	return claim.Close()
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// load reads whose directory it is, or makes it that of a new peer. One that no
// cluster knows may have another name: see rename.
func (d *directory) load(name string, cluster ClusterID) error {
	raw, err := d.read(identityFile)
	if errors.Is(err, fs.ErrNotExist) {
		return d.create(name, cluster)
	}
	if err != nil {
		return err
	}
	if err := d.identity.parse(raw); err != nil {
		return fmt.Errorf("%s: %w", identityFile, err)
	}
	if d.Removed {
		return errors.New("this peer was removed from its cluster and can't come back: begin with an empty --data-dir")
	}
	if cluster != "" && d.Cluster != cluster {
		return fmt.Errorf("it holds data of cluster %s, not of %s: give another --data-dir", d.Cluster, cluster)
	}
	if s := d.standing; d.Name != name && (s.Formed || s.Joining || s.Promise != nil || s.Founder) {
		return d.misnamed(name)
	}
	if d.Formed {
		if d.cookie, err = d.hex(cookieFile, cookieBytes); err != nil {
			return err
		}
	}
	return d.loadKey()
}

func (d *directory) misnamed(name string) error {
	return fmt.Errorf("it holds data of the peer %q, not of %q: start with --name %s, or give another --data-dir", d.Name, name, d.Name)
}

// rename gives the peer another name, if no cluster knows it yet: if load let
// that pass, and its log is empty.
func (d *directory) rename(name string, last uint64) error {
	if d.Name == name {
		return nil
	}
	if last > 0 {
		return d.misnamed(name)
	}
	d.Name, d.RaftID = name, newRaftID(name)
	return d.writeIdentity()
}

// loadKey reads the peer's key. An older directory has none, and a crash may
// have left one that it does not know of.
func (d *directory) loadKey() error {
	key, err := d.hex(keyFile, ed25519.PrivateKeySize)
	if errors.Is(err, fs.ErrNotExist) && d.Key == "" {
		if err := d.makeKey(); err != nil {
			return err
		}
		return d.writeIdentity()
	}
	if err != nil {
		return err
	}
	// Both halves are kept: a flipped bit would otherwise be another peer.
	d.key = ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])
	id := keyOf(d.key)
	if !d.key.Equal(ed25519.PrivateKey(key)) || d.Key != "" && d.Key != id {
		return fmt.Errorf("%s is not this peer's: put back the one that belongs to %s", keyFile, identityFile)
	}
	if d.Key == "" {
		d.Key = id
		return d.writeIdentity()
	}
	return nil
}

func (d *directory) makeKey() error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	d.key, d.Key = key, keyOf(key)
	return d.writeKey()
}

func (d *directory) writeKey() error {
	return d.write(keyFile, []byte(hex.EncodeToString(d.key)+"\n"))
}

// create makes the files of a new peer. The identity comes last: a directory
// without it was never a peer's.
func (d *directory) create(name string, cluster ClusterID) error {
	if err := d.blank(); err != nil {
		return err
	}
	if cluster == "" {
		cluster = ClusterID(hex.EncodeToString(random(clusterDigits / 2)))
	}
	d.identity = newIdentity(name, cluster)
	if err := d.makeKey(); err != nil {
		return err
	}
	return d.writeIdentity()
}

// writeCookie keeps what the cluster's cookies are signed with.
func (d *directory) writeCookie() error {
	return d.write(cookieFile, []byte(hex.EncodeToString(d.cookie)+"\n"))
}

// newIdentity makes a peer that there never was.
func newIdentity(name string, cluster ClusterID) identity {
	id := binary.BigEndian.Uint64(random(8)) | 1 // never 0
	return identity{
		id:       state.PeerID(id),
		Format:   format,
		Peer:     strconv.FormatUint(id, 16),
		Name:     name,
		RaftID:   newRaftID(name),
		standing: standing{Cluster: cluster},
	}
}

func newRaftID(name string) string { return name + "-" + hex.EncodeToString(random(idBytes)) }

// now returns how the peer stands.
func (d *directory) now() standing {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.standing
}

// cluster returns the cluster that the peer is of; "": of none yet.
func (d *directory) cluster() ClusterID {
	if s := d.now(); s.Formed || s.Joining {
		return s.Cluster
	}
	return ""
}

// become changes how the peer stands, durably, unless change refuses it or the
// disk fails.
func (d *directory) become(change func(*standing) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.standing
	err := change(&d.standing)
	if err == nil {
		d.Format = format
		err = d.writeIdentity()
	}
	if err != nil {
		d.standing = before
	}
	return err
}

// form notes that there is a log from now on, with this peer in it since an
// index.
func (d *directory) form(since uint64) error {
	return d.become(func(s *standing) error {
		s.Formed, s.Since, s.Joining, s.Promise = true, since, false, nil
		return nil
	})
}

func (d *directory) writeIdentity() error {
	raw, err := json.MarshalIndent(d.identity, "", "  ")
	if err != nil {
		return err
	}
	if err := new(identity).parse(raw); err != nil {
		return err
	}
	return d.write(identityFile, append(raw, '\n'))
}

func (i *identity) parse(raw []byte) error {
	if err := json.Unmarshal(raw, i); err != nil {
		return fmt.Errorf("is damaged: %w", err)
	}
	if i.Format > format {
		return fmt.Errorf("was written by a newer Vera (format %d, this one knows %d): start that one", i.Format, format)
	}
	id, err := strconv.ParseUint(i.Peer, 16, 64)
	if err != nil || id == 0 || i.Format < 1 || len(i.Cluster) != clusterDigits || checkName(i.Name) != nil || i.RaftID == "" {
		return errors.New("is damaged: a field is missing or has no sense")
	}
	i.id = state.PeerID(id)
	return nil
}

// hex reads a secret of so many bytes, kept in hex.
func (d *directory) hex(name string, size int) ([]byte, error) {
	raw, err := d.secret(name)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(secret) != size {
		return nil, fmt.Errorf("%s is damaged: it does not hold %d bytes in hex", name, size) // never its content
	}
	return secret, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, as of Go 1.24
	return b
}
