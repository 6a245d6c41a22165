package elections

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"vera/test/cluster"
	"vera/test/lean"
)

const (
	candidates = 1000
	deaths     = 20
	// smallFrame bounds what a candidate is told of a change, in bytes.
	smallFrame = 400
	// ownGrace is the candidates', in milliseconds: a dead one's item stays for it.
	ownGrace = 250
)

// candidate is one of many that want to lead. It watches the head only.
type candidate struct {
	socket  *lean.Client
	version uint64 // of its item
}

// word is a message that a candidate was told.
type word struct {
	who   int
	at    time.Time
	bytes int
	err   error
	notice
}

// notice is what is read of a message.
type notice struct {
	Action  string
	Code    string
	Version uint64
	Added   []struct{ Version uint64 }
	Removed []struct {
		Version uint64
		Reason  string
	}
}

// stand connects a candidate, which pushes and then watches the head.
func stand(addr string) (*candidate, error) {
	socket, err := lean.Dial(addr, fmt.Sprintf("?graceMs=%d&heartbeatMs=60000", ownGrace), 1024)
	if err != nil {
		return nil, err
	}
	answer, err := socket.Ask([]byte(`{"rid":1,"action":"push","path":"/data/candidates","limit":0,"data":{}}`))
	if err != nil {
		return nil, err
	}
	var pushed notice
	if err := json.Unmarshal(answer, &pushed); err != nil {
		return nil, err
	}
	_, err = socket.Ask([]byte(`{"rid":2,"action":"watch","path":"/data/candidates","limit":1,"items":false}`))
	return &candidate{socket, pushed.Version}, err
}

// listen passes on all that the candidate is told, until its socket is closed.
func (c *candidate) listen(who int, words chan<- word) {
	for {
		text, err := c.socket.Receive()
		w := word{who: who, at: time.Now(), bytes: len(text), err: err}
		if err == nil {
			w.err = json.Unmarshal(text, &w.notice)
		}
		words <- w
		if err != nil {
			return
		}
	}
}

// A thousand candidates on one list: when the head dies, each of the others is
// told so once, by one small frame, and all of the same new head.
func TestAThousandCandidatesAreToldOfEachNewHeadOnce(t *testing.T) {
	c := cluster.Start(t, 3, cluster.Options{Plain: true})
	all := make([]*candidate, candidates)
	for i := range all {
		var err error
		if all[i], err = stand(c.Peers[i%len(c.Peers)].Client); err != nil {
			t.Fatalf("candidate %d: %v", i, err)
		}
	}
	words := make(chan word, candidates)
	var listening sync.WaitGroup
	for i, one := range all {
		listening.Go(func() { one.listen(i, words) })
	}
	defer func() {
		for _, one := range all {
			_ = one.socket.Conn.Close() // those that died are closed already
		}
		go func() {
			listening.Wait()
			close(words)
		}()
		for range words { // nobody may be left waiting to be heard
		}
	}()
	var took []time.Duration
	most, sum := 0, 0
	for n := range deaths {
		for _, w := range die(t, all[n:], words, n) {
			took = append(took, w.took)
			most, sum = max(most, w.bytes), sum+w.bytes
		}
	}
	slices.Sort(took)
	t.Logf("%d candidates, the head died %d times: told after p50 %v, max %v, of which %d ms are the grace; %d bytes a candidate and change, at most %d",
		candidates, deaths, took[len(took)/2].Round(time.Millisecond/10), took[len(took)-1].Round(time.Millisecond/10), ownGrace, sum/len(took), most)
	quiet(t, all[deaths:], words)
}

// heard is what one candidate was told of a death, and how long after it.
type heard struct {
	took  time.Duration
	bytes int
}

// die cuts the connection of the first of those who are left, the nth, and
// waits until each of the others was told.
func die(t *testing.T, left []*candidate, words <-chan word, nth int) (all []heard) {
	t.Helper()
	start := time.Now()
	if err := left[0].socket.Conn.Close(); err != nil {
		t.Fatal(err)
	}
	told := make(map[int]bool, len(left))
	patience := time.After(cluster.Patience)
	for len(told) < len(left)-1 {
		var w word
		select {
		case w = <-words:
		case <-patience:
			t.Fatalf("death %d: %d of %d candidates were told", nth, len(told), len(left)-1)
		}
		switch {
		case w.who <= nth: // the end of one that is dead
			continue
		case w.err != nil:
			t.Fatalf("candidate %d: %v", w.who, w.err)
		case told[w.who]:
			t.Fatalf("death %d: candidate %d was told twice", nth, w.who)
		}
		told[w.who] = true
		if len(w.Added) != 1 || w.Added[0].Version != left[1].version || len(w.Removed) != 1 || w.Removed[0].Version != left[0].version || w.Removed[0].Reason != "expired" {
			t.Fatalf("death %d: candidate %d was told %+v; %d is gone, %d is the head", nth, w.who, w.notice, left[0].version, left[1].version)
		}
		if w.bytes > smallFrame {
			t.Errorf("death %d: candidate %d was told %d bytes, at most %d", nth, w.who, w.bytes, smallFrame)
		}
		all = append(all, heard{w.at.Sub(start), w.bytes})
	}
	return all
}

// quiet makes sure that nobody is told anything more: the answer to a ping is
// the next that each hears, and the list's rest is there.
func quiet(t *testing.T, left []*candidate, words <-chan word) {
	t.Helper()
	for i, one := range left {
		if err := one.socket.Send([]byte(`{"rid":3,"action":"ping"}`)); err != nil {
			t.Fatalf("candidate %d: %v", deaths+i, err)
		}
	}
	patience := time.After(cluster.Patience)
	for range left {
		select {
		case w := <-words:
			if w.err != nil || w.Code != "OK" || w.Action != "" {
				t.Fatalf("candidate %d was told more: %+v", w.who, w)
			}
		case <-patience:
			t.Fatal("pings were not answered")
		}
	}
}
