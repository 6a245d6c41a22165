package raft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

const (
	snapshotsDir  = "snapshots" // hashicorp/raft's name for it
	snapshotsKept = 2
)

// snapshots are the peer's snapshots on disk. hashicorp/raft silently takes an
// older one when the newest is damaged; here the damage is noted, and the
// start refused.
type snapshots struct {
	hraft.SnapshotStore
	path   string
	broken error // the first that could not be opened
}

// openSnapshots clears away what a crash left: a snapshot that was being
// written, or one that was being deleted because there were newer ones enough.
// Those must be readable.
func openSnapshots(dir string, log hclog.Logger) (*snapshots, error) {
	path := filepath.Join(dir, snapshotsDir)
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return taken(b.Name()).compare(taken(a.Name())) })
	good := 0
	for _, e := range entries {
		one := filepath.Join(path, e.Name())
		switch {
		case !e.IsDir():
			continue
		case good == snapshotsKept || strings.HasSuffix(one, ".tmp"):
			err = os.RemoveAll(one)
		default:
			err = checkMeta(filepath.Join(one, "meta.json"))
			good++
		}
		if err != nil {
			return nil, err
		}
	}
	store, err := hraft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, log)
	if err != nil {
		return nil, err
	}
	return &snapshots{SnapshotStore: store, path: path}, nil
}

// moment is when a snapshot was taken: a term, an index and milliseconds.
type moment [3]uint64

// taken reads the moment off a snapshot's name, where hashicorp/raft puts it.
func taken(name string) (m moment) {
	for i, part := range strings.SplitN(strings.TrimSuffix(name, ".tmp"), "-", len(m)) {
		m[i], _ = strconv.ParseUint(part, 10, 64) // another name is as of long ago
	}
	return m
}

func (m moment) compare(other moment) int { return slices.Compare(m[:], other[:]) }

func checkMeta(file string) error {
	raw, err := os.ReadFile(file)
	if err == nil && !json.Valid(raw) {
		err = errors.New("it is not JSON")
	}
	if err != nil {
		return damagedSnapshot(file, err)
	}
	return nil
}

func damagedSnapshot(file string, err error) error {
	return fmt.Errorf("the snapshot %s is damaged (%w): put the data directory back from a backup, or begin with an empty one", file, err)
}

// Open opens a snapshot after its checksum was compared.
func (s *snapshots) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	meta, content, err := s.SnapshotStore.Open(id)
	if err != nil && s.broken == nil {
		s.broken = damagedSnapshot(filepath.Join(s.path, id, "state.bin"), err)
	}
	if err != nil {
		return nil, nil, err
	}
	return meta, &loading{content, meta}, nil
}

// loading is a snapshot that is read, and what it says of itself.
type loading struct {
	io.ReadCloser
	meta *hraft.SnapshotMeta
}

// metaOf finds out what a snapshot says of itself that hashicorp/raft has
// wrapped; nil: it was never one of snapshots.
func metaOf(snapshot io.ReadCloser) *hraft.SnapshotMeta {
	for {
		switch s := snapshot.(type) {
		case *loading:
			return s.meta
		case hraft.ReadCloserWrapper:
			snapshot = s.WrappedReadCloser()
		default:
			return nil
		}
	}
}

// newest returns what the newest snapshot says of itself, nil when there is none.
func newest(s hraft.SnapshotStore) (*hraft.SnapshotMeta, error) {
	all, err := s.List()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// agree makes log and snapshot fit together. Where the log contradicts the
// snapshot, or ends before it, the snapshot came from a leader and the log is
// emptied: hashicorp/raft would ask for that snapshot again and again. Entries
// that are missing between the two are gone: that is refused.
func agree(log hraft.LogStore, snapshot *hraft.SnapshotMeta) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	covered, term := uint64(0), uint64(0)
	if snapshot != nil {
		covered, term = snapshot.Index, snapshot.Term
	}
	if first > covered+1 {
		return fmt.Errorf("the log begins at %d but the newest snapshot ends at %d: what was between is missing; put the data directory back from a backup, or begin with an empty one", first, covered)
	}
	if last < covered {
		return log.DeleteRange(first, last)
	}
	if first > covered || covered == 0 {
		return nil
	}
	var entry hraft.Log
	if err := log.GetLog(covered, &entry); err != nil {
		return err
	}
	if entry.Term != term {
		return log.DeleteRange(first, last)
	}
	return nil
}
