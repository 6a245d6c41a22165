//go:build unix

package ws

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
)

// servesElsewhere names the variable that makes a test process a peer.
const servesElsewhere = "VERA_WS_SERVES"

// TestServesElsewhere is no test of its own: it is the peer of the next one.
func TestServesElsewhere(t *testing.T) {
	if os.Getenv(servesElsewhere) == "" {
		t.Skip("only as another process")
	}
	p := newPeer(t, nil)
	fmt.Printf("listening %s\n", p.addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestAStoppedProcessLosesNobody stops a peer for many heartbeats. Clients that
// were silent meanwhile, since nobody pinged them, stay; silence after that
// counts again.
func TestAStoppedProcessLosesNobody(t *testing.T) {
	command := exec.Command(os.Args[0], "-test.run=^TestServesElsewhere$")
	command.Env = append(os.Environ(), servesElsewhere+"=1")
	stdin, _ := command.StdinPipe()
	stdout, _ := command.StdoutPipe()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = command.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if err != nil || !ok {
		t.Fatalf("%q %v", line, err)
	}
	p := &peer{addr: addr}
	const heartbeat, stop = 1500 * time.Millisecond, 5 * time.Second
	c := p.over(t, dial(t, addr), p.upgrade(fmt.Sprintf("?graceMs=0&heartbeatMs=%d", heartbeat.Milliseconds())))
	silent := p.over(t, dial(t, addr), p.upgrade("?heartbeatMs=250"))
	_ = silent.SetReadDeadline(time.Time{})

	signal(t, command.Process, syscall.SIGSTOP)
	<-time.After(stop)
	signal(t, command.Process, syscall.SIGCONT)
	resumed := time.Now()
	for pings := 0; pings < 2; {
		h, payload := c.frame() // fails when the connection was given up
		if h.OpCode != gobwas.OpPing {
			t.Fatalf("%v %q", h, payload)
		}
		pings++
		_, _ = c.Write(frameOf(gobwas.OpPong, payload))
	}
	if took := time.Since(resumed); took > waitFor {
		t.Errorf("two pings took %v", took)
	}
	if _, err := io.ReadAll(silent.r); err != nil && !isReset(err) {
		t.Error(err)
	}
}

func isReset(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Timeout() == false
}

func signal(t *testing.T, p *os.Process, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}
