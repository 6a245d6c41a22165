package faults

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"vera"
	"vera/test/cluster"
	"vera/test/history"
)

var (
	runs  = flag.Int("runs", 40, "runs of TestRuns")
	five  = flag.Bool("five", false, "every cluster of TestRuns has five peers; else one of four has")
	first = flag.Uint64("seed", 0, "seed of the first run; 0: of the clock")
)

// The times of a run's clients and peers.
const (
	runFor       = 3 * time.Second
	runGrace     = 400 * time.Millisecond
	runFailover  = 2 * time.Second
	runSettle    = 20 * time.Second // of all that ends: 2 heartbeats, a peer declared gone, its failover grace
	runGuests    = 8
	runsACluster = 10
)

// TestRuns has clients work at random while faults happen at random, and judges
// what they were told. A run that fails says its seed; it does not repeat a run
// exactly, since processes and networks have a will of their own, but the same
// faults in the same order.
func TestRuns(t *testing.T) {
	seed := *first
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("%d runs, the first with -seed %d", *runs, seed)
	clusters := max(1, *runs/runsACluster)
	for n := range clusters {
		t.Run(fmt.Sprintf("cluster%d", n), func(t *testing.T) {
			peers := 3
			if n%4 == 3 || *five {
				peers = 5
			}
			c := cluster.Start(t, peers, cluster.Options{Net: true, Flags: runFlags()})
			for k := n; k < *runs && !t.Failed(); k += clusters {
				if wrong := run(t, c, seed+uint64(k), faults()); len(wrong) > 0 {
					t.Errorf("seed %d: %s", seed+uint64(k), history.Text(wrong))
				}
			}
		})
	}
}

func runFlags() []string {
	return []string{"--failover-grace", runFailover.String(), "--max-leader-time", "3s", "--min-heartbeat", "250ms"}
}

// run is one run: work and faults, then peace, then the verdict.
func run(t *testing.T, c *cluster.Cluster, seed uint64, all []fault) []history.Violation {
	t.Helper()
	began := time.Now()
	r := history.NewRecorder()
	paths := make([]string, 3)
	for i := range paths {
		paths[i] = fmt.Sprintf("/data/run%d/%d", seed, i)
	}
	workers := make([]*worker, runGuests)
	errs := make([]error, runGuests)
	until := began.Add(runFor)
	var working sync.WaitGroup
	for i := range workers {
		g := &guest{r: r, c: c, name: fmt.Sprintf("g%d", i), grace: runGrace * time.Duration(i%3)}
		w := newWorker(g, seed*100+uint64(i), paths)
		workers[i] = w
		working.Go(func() { errs[i] = w.run(until) })
	}
	workers = append(workers, probe(c, r, seed, paths)...)
	told := "probe, " + breakThings(t, c, rand.New(rand.NewPCG(seed, 2)), all, until)
	working.Wait()
	c.AwaitWhole()
	errs = append(errs, settle(c, r, workers))
	for _, p := range c.Peers {
		f, err := final(p, r, workers, paths)
		r.Final(f)
		errs = append(errs, err)
	}
	for _, w := range workers {
		if w.conn != nil {
			errs = append(errs, w.listen(50*time.Millisecond))
			r.Alive(w.life, w.conn != nil)
		}
	}
	h := r.History(false)
	wrong := h.Check()
	for _, w := range workers { // their watches are live in the verdict
		_ = w.drop()
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("seed %d (%s): %v", seed, told, err)
	}
	t.Logf("seed %d: %s; %d operations, %v", seed, told, len(h.Operations), time.Since(began).Round(time.Millisecond))
	return wrong
}

// probe begins a run with what every run is to be asked: a keeper whose items
// stay as long as the run lasts, and one that asks a peer which is cut off for
// what the keeper pushed meanwhile.
func probe(c *cluster.Cluster, r *history.Recorder, seed uint64, paths []string) []*worker {
	cut := int(seed) % len(c.Peers)
	keeper := newWorker(&guest{r: r, c: c, name: "keeper", grace: time.Minute}, seed, paths)
	asker := newWorker(&guest{r: r, c: c, name: "asker", patience: 400 * time.Millisecond}, seed, paths)
	keep := func(n int) {
		data := fmt.Sprintf(`{"by":"keeper","n":%d}`, n)
		o := history.Operation{Action: vera.ActionPush, Path: paths[0], Data: data, Once: fmt.Sprint("k", n), Limit: vera.NoLimit}
		_ = cluster.Ask(10*time.Second, func() error { // what never comes through is not asked for
			if err := keeper.live(cut, 10*time.Second); err != nil {
				return err
			}
			m, err := keeper.ask(o, fmt.Sprintf(`"action":"push","path":%q,"once":%q,"data":%s`, paths[0], o.Once, data))
			if err == nil && m.Code != vera.OK {
				err = errors.New(string(m.Code))
			}
			return err
		})
	}
	for n := range 20 {
		keep(n)
	}
	if asker.connect(c.Peers[cut]) == nil {
		c.Isolate(c.Peers[cut])
		keep(20)
		_, _ = asker.get(paths[0], history.Operation{Consistent: true}) // a refusal will do
		c.Heal()
	}
	return []*worker{keeper, asker}
}

// settle has half of the guests be there and the others not, and waits until
// the sessions of those are over, on every peer, for as long as that may take.
func settle(c *cluster.Cluster, r *history.Recorder, workers []*worker) error {
	gone := map[string]bool{}
	var errs []error
	for i, w := range workers {
		for _, id := range w.former {
			gone[id] = true
		}
		if i%2 == 0 {
			errs = append(errs, w.stay(i, cluster.Patience))
			r.Alive(w.life, true)
			continue
		}
		_ = w.drop()
		if w.session != "" {
			gone[w.session] = true
		}
	}
	_ = cluster.Ask(runSettle, func() error { // what is late is found by the verdict
		for _, p := range c.Peers {
			for id := range gone {
				if _, err := p.ReadAdmin("/sessions/" + id); err == nil {
					return errors.New("still there")
				}
			}
		}
		return nil
	})
	var highest uint64
	for _, p := range c.Peers {
		applied, err := p.Metric("vera_raft_applied_index")
		errs = append(errs, err)
		highest = max(highest, uint64(applied))
	}
	for _, p := range c.Peers {
		errs = append(errs, cluster.Ask(cluster.Patience, func() error {
			applied, err := p.Metric("vera_raft_applied_index")
			if err == nil && uint64(applied) < highest {
				err = fmt.Errorf("%s has applied %v of %d", p.Name, applied, highest)
			}
			return err
		}))
	}
	return errors.Join(errs...)
}

// final is what a peer holds, as its listeners tell it.
func final(p *cluster.Peer, r *history.Recorder, workers []*worker, paths []string) (history.Peer, error) {
	f := history.Peer{Name: p.Name, Lists: map[string]history.Listed{}, Holds: map[string][]uint64{}}
	for _, path := range paths {
		text, err := p.Get(path)
		if err != nil {
			return f, err
		}
		m, err := history.Parse(text)
		if err != nil {
			return f, err
		}
		f.Index = max(f.Index, m.Index)
		f.Lists[path] = history.Listed{ETag: m.ETag, Items: m.Items}
	}
	for _, w := range workers {
		if w.session == "" {
			continue
		}
		text, err := p.ReadAdmin("/sessions/" + w.session)
		if err != nil {
			continue // it does not live
		}
		var s struct {
			Life  uint64
			Holds []struct{ Version uint64 }
		}
		if err := json.Unmarshal(text, &s); err != nil {
			return f, err
		}
		if s.Life == 0 {
			continue // connected there, and not in the log
		}
		f.Holds[w.session] = nil
		for _, it := range s.Holds {
			f.Holds[w.session] = append(f.Holds[w.session], it.Version)
		}
	}
	return f, nil
}
