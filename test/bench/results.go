package main

import (
	"fmt"
	"time"
)

// results are what was measured of all systems.
type results struct {
	systems []system
	of      []*result
}

// result is what was measured of one, over all rounds.
type result struct {
	loads                                []measure // in the order of the plan
	crashRest, crashLoad, tell, failover []time.Duration
}

// measure is one load.
type measure struct {
	took   []time.Duration
	rounds int
}

func newResults(systems []system) *results {
	r := &results{systems: systems}
	for range systems {
		r.of = append(r.of, &result{})
	}
	return r
}

func (r *result) add(load int, took []time.Duration) {
	for len(r.loads) <= load {
		r.loads = append(r.loads, measure{})
	}
	m := &r.loads[load]
	m.took, m.rounds = append(m.took, took...), m.rounds+1
}

// print prints tables in Markdown.
func (r *results) print(p *plan) {
	fmt.Printf("| entries/s (p50, p99 in ms) |")
	r.row(func(i int) string { return r.systems[i].name() })
	fmt.Printf("|---|")
	r.row(func(int) string { return "---" })
	for load, clients := range p.clients {
		fmt.Printf("| %d clients |", clients)
		r.row(func(i int) string {
			m := r.of[i].loads[load]
			rate := float64(len(m.took)) / (p.span.Seconds() * float64(m.rounds))
			return fmt.Sprintf("%.0f (%s)", rate, spread(m.took))
		})
	}
	others := []struct {
		name string
		of   func(*result) []time.Duration
	}{
		{"crash of a client → watcher on another peer told, at rest", func(r *result) []time.Duration { return r.crashRest }},
		{"the same with 16 clients putting", func(r *result) []time.Duration { return r.crashLoad }},
		{fmt.Sprintf("one change → last of %d watchers told", p.watchers), func(r *result) []time.Duration { return r.tell }},
		{"leader's kill -9 → next entry on another peer", func(r *result) []time.Duration { return r.failover }},
	}
	for _, o := range others {
		fmt.Printf("| %s |", o.name)
		r.row(func(i int) string { return spread(o.of(r.of[i])) })
	}
}

func (r *results) row(cell func(i int) string) {
	for i := range r.systems {
		fmt.Printf(" %s |", cell(i))
	}
	fmt.Println()
}

// spread is the median and the 99th percentile, in milliseconds.
func spread(took []time.Duration) string {
	if len(took) == 0 {
		return "–"
	}
	all := sorted(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.2f, %.2f", ms(all[len(all)/2]), ms(all[len(all)*99/100]))
}
