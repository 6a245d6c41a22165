package commands

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/cluster"
)

// TestAPeerThatIsRemovedSaysSoAndSendsItsClientsOn has the leader be removed,
// and asked for that itself: the operator gets an answer, its clients are closed
// with 1001 and go on elsewhere with what they hold, and it ends without waiting
// for a log that hears it no more.
func TestAPeerThatIsRemovedSaysSoAndSendsItsClientsOn(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 3, calm())
	leader, follower := c.Leader(), c.Followers()[0]
	var clients []*client.Connection
	for i := range 10 {
		clients = append(clients, call(t, leader.Client, client.Options{}))
		if _, err := clients[i].Push(within(t), fmt.Sprint("/data/held/", i), map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	leader.Doom()
	must(t, c, leader, "peers", "remove", leader.Name)
	began := time.Now()
	if err := leader.AwaitExit(cluster.Patience); err != nil || leader.ExitError() == nil {
		t.Errorf("it ended with %v, %v", err, leader.ExitError())
	}
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("it ended %v after it was removed", took)
	}
	for i, connection := range clients {
		<-connection.Done()
		if closed, is := errors.AsType[*client.Closed](connection.Err()); !is || closed.Code != vera.CloseGoingAway {
			t.Errorf("client %d: %v", i, connection.Err())
		}
		back := call(t, follower.Client, client.Options{Cookie: connection.Cookie()})
		if s, err := back.Session(within(t)); err != nil || !s.Resumed || len(s.Items) != 1 {
			t.Errorf("client %d came back as %+v, %v", i, s, err)
		}
	}
}
