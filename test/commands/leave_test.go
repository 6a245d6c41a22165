package commands

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/cluster"
)

// TestALeaderThatLeavesHandsOverFirst has a leader with many clients get
// SIGTERM: it is not ready at once, another peer leads while most clients are
// still connected, these are sent away evenly with 1001 and go on elsewhere
// with what they hold, and the process exits with 0.
func TestALeaderThatLeavesHandsOverFirst(t *testing.T) {
	t.Parallel()
	const n, over = 40, 4 * time.Second
	c := cluster.Start(t, 3, calm("--drain", over.String()))
	leader, follower := c.Leader(), c.Followers()[0]
	var clients []*client.Connection
	for i := range n {
		clients = append(clients, call(t, leader.Client, client.Options{}))
		if _, err := clients[i].Push(within(t), fmt.Sprint("/data/held/", i), map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	leader.Signal(syscall.SIGTERM)
	eventually(t, "readiness to go off", func() error {
		if leader.Ready() == nil {
			return errors.New("it is ready")
		}
		return nil
	})
	eventually(t, "another leader", func() error {
		seen, err := follower.Known()
		if err == nil && (seen[0].Role != "leader" || seen[0].Name == leader.Name) {
			err = fmt.Errorf("%s leads", seen[0].Name)
		}
		return err
	})
	open := 0
	for _, connection := range clients {
		select {
		case <-connection.Done():
		default:
			open++
		}
	}
	if open < n/2 {
		t.Errorf("another peer leads %v after the signal, when only %d of %d connections are left", time.Since(began), open, n)
	}
	late := 0
	for i, connection := range clients {
		<-connection.Done()
		if closed, is := errors.AsType[*client.Closed](connection.Err()); !is || closed.Code != vera.CloseGoingAway {
			t.Errorf("client %d: %v", i, connection.Err())
		}
		if time.Since(began) > over/2 {
			late++
		}
		back := call(t, follower.Client, client.Options{Cookie: connection.Cookie()})
		if s, err := back.Session(within(t)); err != nil || !s.Resumed || len(s.Items) != 1 {
			t.Errorf("client %d came back as %+v, %v", i, s, err)
		}
	}
	if late < n/4 {
		t.Errorf("%d of %d clients were sent away in the second half of the drain", late, n)
	}
	if err := leader.AwaitExit(cluster.Patience); err != nil || leader.ExitError() != nil {
		t.Errorf("it ended with %v, %v", err, leader.ExitError())
	}
}

// TestAPeerThatWaitsForOthersEndsCleanly: nobody joins, and Ctrl-C is heard.
func TestAPeerThatWaitsForOthersEndsCleanly(t *testing.T) {
	t.Parallel()
	c := cluster.Prepare(t, 3, cluster.Options{})
	p := c.Peers[0]
	p.Launch()
	eventually(t, "the peer to wait", func() error {
		if p.Log() == "" {
			return errors.New("nothing was logged")
		}
		return nil
	})
	p.Signal(syscall.SIGINT)
	if err := p.AwaitExit(10 * time.Second); err != nil || p.ExitError() != nil {
		t.Errorf("it ended with %v, %v", err, p.ExitError())
	}
	p.Launch() // and its directory is as good as before
	for _, other := range c.Peers[1:] {
		other.Launch()
	}
	c.AwaitWhole()
}

// TestAPeerWithoutAMajorityLeavesAsFast: nobody hears who left, so the peer does
// not wait for that; and the session is there when the others are.
func TestAPeerWithoutAMajorityLeavesAsFast(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 3, calm("--drain", "500ms"))
	last := c.Peers[0]
	holder := call(t, last.Client, client.Options{})
	if _, err := holder.Push(within(t), "/data/held", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Peers[1:] {
		p.Kill()
	}
	eventually(t, "the last peer to miss the majority", func() error {
		if err := last.Ready(); err == nil || !strings.Contains(err.Error(), "out of touch") {
			return fmt.Errorf("it says %v", err)
		}
		return nil
	})
	began := time.Now()
	if err := last.Terminate(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("it left after %v", took)
	}
	for _, p := range c.Peers {
		p.Launch()
	}
	c.AwaitWhole()
	back := call(t, last.Client, client.Options{Cookie: holder.Cookie()})
	if s, err := back.Session(within(t)); err != nil || !s.Resumed || len(s.Items) != 1 {
		t.Errorf("it came back as %+v, %v", s, err)
	}
}
