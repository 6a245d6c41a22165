package state

import (
	"encoding/binary"
	"fmt"
	"time"

	"vera"
)

// batchVersion is the first byte of every entry. Those of version 1 are read as
// well: in them a watch, or its end, does not say when it was asked for.
const batchVersion = 2

// Append appends the batch as the log keeps it. A batch that ParseBatch would
// refuse is a fault of the caller and panics.
//
// The format: a byte with the version, 8 bytes with the peer, little-endian,
// then as varints (unsigned LEB128, shortest form) the incarnation, the first
// number and the count of commands, then the commands. A command is its kind's
// byte and its fields one after another; a session's id is 16 bytes, text and
// data are preceded by their length.
func (b *Batch) Append(dst []byte) []byte {
	dst = append(dst, batchVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Peer))
	dst = binary.AppendUvarint(dst, b.Incarnation)
	dst = binary.AppendUvarint(dst, b.First)
	dst = binary.AppendUvarint(dst, uint64(len(b.Commands)))
	if err := b.header().check(); err != nil {
		panic(fmt.Sprintf("a batch that nobody could read: %v", err))
	}
	for i := range b.Commands {
		c := &b.Commands[i]
		if err := b.header().admits(i, c.Kind); err != nil {
			panic(fmt.Sprintf("a batch that nobody could read: command %d, %s: %v", i, c.Kind, err))
		}
		dst = c.append(dst)
	}
	return dst
}

func (b *Batch) header() header {
	return header{b.Peer, b.Incarnation, b.First, len(b.Commands)}
}

func (c *Command) append(dst []byte) []byte {
	dst = append(dst, byte(c.Kind))
	if c.Kind&Skippable != 0 {
		return appendText(dst, c.Data)
	}
	switch c.Kind {
	case PeerUp:
		return appendGrace(dst, c.Grace)
	case PeerGone:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Peer))
		dst = binary.AppendUvarint(dst, c.Incarnation)
		return appendGrace(dst, c.Grace)
	}
	dst = append(dst, c.Session[:]...)
	if c.Kind == Open {
		return appendGrace(dst, c.Grace)
	}
	dst = binary.AppendUvarint(dst, c.Life)
	switch c.Kind {
	case Push, Update, Remove:
		return c.appendItem(dst)
	case Watch:
		dst = appendText(dst, c.Path)
		dst = appendCount(dst, c.Limit-vera.NoLimit)
		dst = appendBool(dst, c.Items)
		dst = appendCount(dst, c.SessionWatches)
		return c.appendOrder(dst)
	case Unwatch:
		return c.appendOrder(appendText(dst, c.Path))
	case Attach:
		return appendGrace(dst, c.Grace)
	case Detach:
		return appendBool(appendGrace(dst, c.Grace), c.Clean)
	case End:
		return append(dst, byte(c.Reason))
	}
	return binary.AppendUvarint(dst, c.Since) // Expire
}

// appendItem appends what Push, Update and Remove say behind the life.
func (c *Command) appendItem(dst []byte) []byte {
	dst = appendText(dst, c.Path)
	dst = appendBool(dst, c.Conditional)
	if c.Conditional {
		dst = binary.AppendUvarint(dst, c.IfMatch)
	}
	if c.Kind != Push {
		dst = binary.AppendUvarint(dst, c.Version)
	}
	if c.Kind == Push {
		dst = appendText(dst, c.Owner)
		dst = appendText(dst, c.Once)
		dst = appendCount(dst, c.SessionItems)
		dst = appendCount(dst, c.ListItems)
	}
	if c.Kind != Remove {
		dst = appendText(dst, c.Data)
	}
	return dst
}

// appendOrder appends how Watch and Unwatch end.
func (c *Command) appendOrder(dst []byte) []byte {
	if c.Arrival > c.Known {
		panic("a connection that asked before it arrived")
	}
	return binary.AppendUvarint(binary.AppendUvarint(dst, c.Known), c.Arrival)
}

func appendText[T ~string | ~[]byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendCount(dst []byte, n int) []byte {
	if n < 0 {
		panic("a limit in a command is negative")
	}
	return binary.AppendUvarint(dst, uint64(n))
}

func appendGrace(dst []byte, d time.Duration) []byte {
	if d < 0 {
		panic("a grace in a command is negative")
	}
	whole := d / time.Millisecond
	if d%time.Millisecond > 0 {
		whole++
	}
	return binary.AppendUvarint(dst, uint64(whole))
}
