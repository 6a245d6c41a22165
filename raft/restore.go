package raft

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"

	"vera/raft/disk"
	"vera/raft/state"
)

// RestoreArchive makes a new data directory of a peer, alone in its cluster,
// whose state is an archive's. The directory must not exist or be empty.
//
// The index jumps by 2^32, or to the one above the given one unless that is 0,
// and every list counts as changed there: whatever the old cluster gave out
// after the archive, no version, etag or fence is given out a second time, as
// long as the old cluster writes no more. Every watcher is told everything.
//
// cookieKey is what the old cluster signed its cookies with, 32 bytes: with it
// the sessions' clients are known again, and find what they hold if they come
// back within the failover grace of the first start. nil: there is a new one,
// and those sessions expire. The error says what is wrong with the archive,
// the directory or an argument; after one the directory is of no use.
func RestoreArchive(dir, name string, from io.Reader, above uint64, cookieKey []byte) (Archive, error) {
	if err := checkName(name); err != nil {
		return Archive{}, err
	}
	if cookieKey != nil && len(cookieKey) != cookieBytes {
		return Archive{}, fmt.Errorf("a cookie key has %d bytes, this one %d", cookieBytes, len(cookieKey))
	}
	if err := vacant(dir); err != nil { // before an archive of any size is read
		return Archive{}, err
	}
	a, machine, err := readArchive(from)
	if err != nil {
		return a, err
	}
	if a.Restored, err = a.risen(above); err != nil {
		return a, err
	}
	image := machine.Snapshot()
	image.Rise(a.Restored)
	if err := a.settle(dir, name, image, cookieKey); err != nil {
		return a, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return a, nil
}

// vacant refuses a directory with anything in it.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" && e.Name() != claimFile {
			return fmt.Errorf("data directory %s is not empty (%s): a restore needs an empty or a new one", dir, e.Name())
		}
	}
	return nil
}

// settle makes the directory. Its identity comes last: without it, a directory
// that is not empty is refused.
func (a *Archive) settle(dir, name string, image *state.Image, cookieKey []byte) error {
	if err := makeDirectory(dir); err != nil {
		return err
	}
	claim, err := claimDirectory(dir)
	if err != nil {
		return err
	}
	d := &directory{files: folder(dir), path: dir, claim: claim, identity: newIdentity(name, a.Cluster), cookie: cookieKey}
	return errors.Join(d.fill(a, image), d.release())
}

func (d *directory) fill(a *Archive, image *state.Image) error {
	if err := vacant(d.path); err != nil {
		return err
	}
	if err := os.Chmod(d.path, 0o700); err != nil {
		return err
	}
	if d.cookie == nil {
		d.cookie = random(cookieBytes)
	}
	if err := d.writeCookie(); err != nil {
		return err
	}
	if err := d.storeSnapshot(a, image); err != nil {
		return err
	}
	if err := d.storeTerm(a.Term); err != nil {
		return err
	}
	return d.form(a.Restored)
}

// storeSnapshot writes the state where hashicorp/raft looks for it, with a
// configuration of this peer alone.
func (d *directory) storeSnapshot(a *Archive, from *state.Image) error {
	store, err := hraft.NewFileSnapshotStoreWithLogger(d.path, snapshotsKept, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	alone := hraft.Configuration{Servers: []hraft.Server{{ID: hraft.ServerID(d.RaftID), Address: hraft.ServerAddress(d.RaftID)}}}
	_, transport := hraft.NewInmemTransport(alone.Servers[0].Address)
	sink, err := store.Create(hraft.SnapshotVersionMax, a.Restored, a.Term, alone, a.Restored, transport)
	if err != nil {
		return err
	}
	if err := (image{from}).Persist(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return syncDirectory(d.path)
}

// storeTerm gives the empty log the archive's term.
func (d *directory) storeTerm(term uint64) error {
	log, err := disk.Open(d.file(logDir), disk.Options{})
	if err != nil {
		return err
	}
	return errors.Join(log.SetUint64(termName, term), log.Close())
}
