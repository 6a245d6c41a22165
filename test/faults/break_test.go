package faults

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"vera/test/cluster"
)

// fault breaks something for a while and mends it.
type fault struct {
	name string
	do   func(t *testing.T, c *cluster.Cluster, rng *rand.Rand)
}

func someTime(rng *rand.Rand, most time.Duration) { pause(time.Duration(rng.Int64N(int64(most)))) }

// pick is the leader every other time, or anybody.
func pick(c *cluster.Cluster, rng *rand.Rand) *cluster.Peer {
	if rng.IntN(2) == 0 {
		return c.Leader()
	}
	return c.Peers[rng.IntN(len(c.Peers))]
}

// faults are what may happen.
func faults() []fault {
	return []fault{
		{"kill -9", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			p := pick(c, rng)
			p.Kill()
			someTime(rng, time.Second)
			p.Launch()
		}},
		{"kill -9 of all", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			for _, p := range c.Peers {
				p.Kill()
			}
			for _, p := range c.Peers {
				p.Launch()
			}
		}},
		{"stand still", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			p := pick(c, rng)
			p.Stop()
			someTime(rng, 3*time.Second) // clear of the moment at which its sessions expire: 2 s until it is gone, and their grace
			p.Continue()
		}},
		{"restart", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			p := pick(c, rng)
			c.Await(p.Name+" to be there", func() error { // a process that only begins knows no signals
				_, err := p.Known()
				return err
			})
			if err := p.Terminate(); err != nil {
				t.Error(err)
			}
			p.Launch()
		}},
		{"cut off", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			c.Isolate(pick(c, rng))
			someTime(rng, 3*time.Second) // clear of the moment at which its sessions expire: 2 s until it is gone, and their grace
			c.Heal()
		}},
		{"two apart", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			order := rng.Perm(len(c.Peers))
			c.Part(c.Peers[order[0]], c.Peers[order[1]])
			someTime(rng, 3*time.Second)
			c.Heal()
		}},
		{"one way", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			order := rng.Perm(len(c.Peers))
			c.Cut(c.Peers[order[0]], c.Peers[order[1]])
			someTime(rng, 3*time.Second)
			c.Heal()
		}},
		{"replace", replace},
		{"transfer", func(t *testing.T, c *cluster.Cluster, rng *rand.Rand) {
			_ = pick(c, rng).Post("/peers/" + c.Peers[rng.IntN(len(c.Peers))].Name + "/transfer") // in the middle of an election it may be refused
		}},
	}
}

// replace has an empty machine take a peer's name, dead or alive.
func replace(_ *testing.T, c *cluster.Cluster, rng *rand.Rand) {
	p := pick(c, rng)
	if rng.IntN(2) == 0 {
		c.AwaitWhole() // or the others may be no majority without it
		p.Kill()
	}
	c.Replace(p)
}

// breakThings has faults happen until the deadline, one after another, and says
// which.
func breakThings(t *testing.T, c *cluster.Cluster, rng *rand.Rand, all []fault, until time.Time) string {
	t.Helper()
	var told []string
	someTime(rng, 500*time.Millisecond)
	for time.Now().Before(until) {
		f := all[rng.IntN(len(all))]
		told = append(told, f.name)
		f.do(t, c, rng)
		someTime(rng, 500*time.Millisecond)
	}
	return strings.Join(told, ", ")
}
