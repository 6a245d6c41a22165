package raft

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"vera"
	"vera/raft/state"
)

// An archive is a cluster's state in one file: a line of JSON that says what it
// is (Archive), the machine's snapshot, and SHA-256 of both. It holds neither
// the key of the cookies nor that of a peer.
const (
	archiveFormat = 1
	maxHeadline   = 4 << 10
)

// Archive says what an archive holds.
type Archive struct {
	Format  int       `json:"veraArchive"` // version of the format
	Cluster ClusterID `json:"cluster"`
	Peer    string    `json:"peer"` // name of the peer that wrote it
	Saved   time.Time `json:"saved"`
	Term    uint64    `json:"term"`  // Raft's, at the index
	Index   uint64    `json:"index"` // what was applied
	Hash    uint64    `json:"hash"`  // the rolling hash there

	Restored uint64 `json:"-"` // RestoreArchive: the index that the state was given

	// What a look into it finds; not in the line.
	Sessions int `json:"-"`
	Items    int `json:"-"`
	Watches  int `json:"-"`
	Lists    int `json:"-"`
}

// Save writes an archive of the state, with everything that was committed
// before the call. The cluster goes on meanwhile. The error is the writer's,
// the context's, or a *vera.Error when no leader was reached.
func (r *Raft) Save(ctx context.Context, to io.Writer) error {
	type taken struct {
		image *state.Image
		term  uint64
		err   error
	}
	word := make(chan taken, 1)
	r.proposer.barrier(func(_, term uint64, err error) {
		if err != nil {
			word <- taken{err: err}
			return
		}
		// A barrier is told passed on the goroutine that applies, which alone
		// may take an image.
		word <- taken{image: r.machine.Snapshot(), term: term}
	})
	var got taken
	select {
	case got = <-word:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if got.err != nil {
		return got.err
	}
	a := Archive{
		Format: archiveFormat, Cluster: r.Cluster(), Peer: r.Name(), Saved: time.Now().UTC().Truncate(time.Second),
		Term: got.term, Index: got.image.Index(), Hash: got.image.Hash(),
	}
	return a.write(&obedient{ctx, to}, got.image)
}

// obedient is a writer that stops with its context.
type obedient struct {
	ctx context.Context
	to  io.Writer
}

// Write writes, unless the context has ended.
func (o *obedient) Write(b []byte) (int, error) {
	if err := context.Cause(o.ctx); err != nil {
		return 0, err
	}
	return o.to.Write(b)
}

func (a *Archive) write(to io.Writer, image *state.Image) error {
	headline, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sum := sha256.New()
	both := io.MultiWriter(to, sum)
	if _, err := both.Write(append(headline, '\n')); err != nil {
		return err
	}
	if _, err := image.WriteTo(both); err != nil {
		return err
	}
	_, err = to.Write(sum.Sum(nil))
	return err
}

// CheckArchive reads a whole archive and says what it holds. The error says
// why it cannot be restored: damaged, cut short, of a newer Vera, or a state
// that breaks an invariant.
func CheckArchive(from io.Reader) (Archive, error) {
	a, _, err := readArchive(from)
	return a, err
}

func readArchive(from io.Reader) (Archive, *state.Machine, error) {
	a, machine, err := parseArchive(&summed{from: bufio.NewReaderSize(from, 64<<10), sum: sha256.New()})
	if err != nil {
		return a, nil, fmt.Errorf("the archive cannot be used: %w", err)
	}
	return a, machine, nil
}

func parseArchive(from *summed) (a Archive, machine *state.Machine, err error) {
	if err := a.readHeadline(from); err != nil {
		return a, nil, err
	}
	machine = state.New()
	if err := machine.Restore(from); err != nil {
		return a, nil, err
	}
	if err := from.check(); err != nil {
		return a, nil, err
	}
	if err := machine.Check(); err != nil {
		return a, nil, err
	}
	if machine.Applied() != a.Index || machine.Hash() != a.Hash {
		return a, nil, fmt.Errorf("it says that it ends at %d, and ends at %d, or the hashes there differ", a.Index, machine.Applied())
	}
	n := machine.Counts()
	a.Sessions, a.Items, a.Watches, a.Lists = n.Sessions, n.Items, n.Watches, n.Lists
	return a, machine, nil
}

// readHeadline reads the line of JSON.
func (a *Archive) readHeadline(from *summed) error {
	var line []byte
	for one := make([]byte, 1); len(line) == 0 || line[len(line)-1] != '\n'; line = append(line, one[0]) {
		if _, err := io.ReadFull(from, one); err != nil || len(line) == maxHeadline {
			return errors.Join(errors.New("it does not begin as an archive of Vera does"), unexpected(err))
		}
	}
	if !bytes.HasPrefix(line, []byte(`{"veraArchive":`)) {
		return errors.New("it is no archive of Vera")
	}
	if err := json.Unmarshal(line, a); err != nil {
		return fmt.Errorf("its first line is damaged: %w", err)
	}
	switch {
	case a.Format > archiveFormat:
		return fmt.Errorf("its format has version %d, this Vera knows %d: use a newer one", a.Format, archiveFormat)
	case a.Format < 1 || len(a.Cluster) != clusterDigits || a.Index == 0 || a.Term == 0:
		return errors.New("its first line is damaged: a field is missing or has no sense")
	}
	return nil
}

// unexpected is an error that is not just the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// summed reads what stands before the sum at a stream's end, and sums it up.
type summed struct {
	from *bufio.Reader
	sum  hash.Hash
}

// Read gives what is surely not the sum yet.
func (s *summed) Read(b []byte) (int, error) {
	ahead, err := s.from.Peek(min(len(b), s.from.Size()-sha256.Size) + sha256.Size)
	n := len(ahead) - sha256.Size
	if n <= 0 {
		if unexpected(err) == nil {
			err = io.EOF
		}
		return 0, err
	}
	n = copy(b, ahead[:n])
	s.sum.Write(b[:n])
	_, err = s.from.Discard(n)
	return n, err
}

// check compares the sum, which must be all that is left.
func (s *summed) check() error {
	rest, err := s.from.Peek(sha256.Size + 1)
	if unexpected(err) != nil {
		return err
	}
	if !bytes.Equal(rest, s.sum.Sum(nil)) {
		return errors.New("it is damaged or cut short: its checksum is wrong")
	}
	return nil
}

// archiveJump is by how much a restored index is above the archive's, unless
// the operator names one: more than a cluster commits between two archives.
const archiveJump = 1 << 32

// maxIndex bounds what an operator may name: browsers count exactly up to 2^53.
const maxIndex = 1 << 52

// risen returns the index that the state of an archive is given.
func (a *Archive) risen(above uint64) (uint64, error) {
	index := a.Index + archiveJump
	if above != 0 {
		index = above + 1
	}
	if index <= a.Index || index > maxIndex {
		return 0, vera.Errorf(vera.InvalidParameter, "above: %d to %d, the archive's own index and the limit: it is %d", a.Index, uint64(maxIndex-1), above)
	}
	return index, nil
}
