package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
)

// Ports are given from lowest on. Below it are those that services are known by.
const lowest = 10_000

// tries bounds how often Reserve looks at another place.
const tries = 1000

// Block is some ports in a row.
type Block struct {
	First int // the lowest of them
	held  []net.PacketConn
}

// Reserve takes n ports in a row on which nobody listens. It fails when there
// are none.
func Reserve(n int) (*Block, error) {
	end := kernels()
	if end < lowest+n {
		return nil, fmt.Errorf("the kernel gives away ports from %d on: none of those from %d on are left for tests", end, lowest)
	}
	var errs []error
	for range tries {
		b := &Block{First: lowest + rand.IntN(end-n-lowest+1)}
		err := b.hold(n)
		if err == nil {
			return b, nil
		}
		b.Release()
		errs = append(errs[max(0, len(errs)-3):], err)
	}
	return nil, fmt.Errorf("no %d free ports in a row: %w", n, errors.Join(errs...))
}

// hold takes n ports and sees that each can be listened on.
func (b *Block) hold(n int) error {
	for i := range n {
		held, err := net.ListenPacket("udp4", b.Address(i))
		if err != nil {
			return err
		}
		b.held = append(b.held, held)
		listener, err := net.Listen("tcp4", b.Address(i))
		if err != nil {
			return err
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Address is host and port of the i-th port, from 0 on.
func (b *Block) Address(i int) string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(b.First+i)).String()
}

// Release gives the ports back.
func (b *Block) Release() {
	for _, held := range b.held {
		held.Close()
	}
	b.held = nil
}

// For is Reserve for as long as a test runs, which fails if there are no ports.
func For(t testing.TB, n int) *Block {
	t.Helper()
	b, err := Reserve(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Release)
	return b
}

// kernels is the first port of those that the kernel gives away itself.
var kernels = sync.OnceValue(func() int {
	first := 32_768 // Linux; others begin higher
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &first) // or it stays as it is
	}
	return first
})
