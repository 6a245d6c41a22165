package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vera/test/ports"
)

// plan is what is measured.
type plan struct {
	clients  []int         // of each load
	span     time.Duration // of each load
	rounds   int
	crashes  int // of clients, at rest and under load each
	watchers int
	changes  int // that the watchers are told of
	kills    int // of leaders
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

func run() error {
	p := plan{}
	counts := flag.String("clients", "1,64,256,1024", "loads, by their number of clients")
	only := flag.String("systems", "vera,vera-go,etcd,zookeeper", "what to measure")
	binary := flag.String("vera", "", "the vera binary to measure (default: built from this tree)")
	dir := flag.String("dir", ".", "where the data is put while it runs")
	flag.DurationVar(&p.span, "span", 5*time.Second, "time a load lasts")
	flag.IntVar(&p.rounds, "rounds", 3, "times that everything is measured")
	flag.IntVar(&p.crashes, "crashes", 50, "clients that crash, at rest and under load each, a round")
	flag.IntVar(&p.watchers, "watchers", 1000, "clients told of one change")
	flag.IntVar(&p.changes, "changes", 20, "changes that they are told of, a round")
	flag.IntVar(&p.kills, "kills", 3, "leaders killed, a round")
	flag.Parse()
	for _, s := range strings.Split(*counts, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("-clients: %q is no number of clients", s)
		}
		p.clients = append(p.clients, n)
	}
	place, err := os.MkdirTemp(*dir, "bench-data")
	if err != nil {
		return err
	}
	place, err = filepath.Abs(place)
	if err != nil {
		return err
	}
	defer os.RemoveAll(place)
	systems, err := choose(strings.Split(*only, ","), *binary, place)
	if err != nil {
		return err
	}
	return p.measure(systems, place)
}

// choose makes the systems named, and says which a machine lacks.
func choose(names []string, binary, place string) ([]system, error) {
	var all []system
	for _, name := range names {
		switch name {
		case "vera", "vera-go":
			if binary == "" {
				var err error
				if binary, err = buildVera(place); err != nil {
					return nil, err
				}
			}
			all = append(all, &veraPeers{binary: binary, lean: name == "vera"})
		case "etcd":
			all = append(all, &etcdPeers{})
		case "zookeeper":
			all = append(all, &zooPeers{})
		default:
			return nil, fmt.Errorf("-systems: %q is none of vera, vera-go, etcd, zookeeper", name)
		}
	}
	for _, s := range all {
		if err := s.installed(); err != nil {
			return nil, fmt.Errorf("%s: %w (apt-get install etcd-server zookeeper)", s.name(), err)
		}
	}
	return all, nil
}

// measure goes round, then prints the tables.
func (p *plan) measure(systems []system, place string) error {
	results := newResults(systems)
	for round := range p.rounds {
		for i, s := range systems {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, p.rounds, s.name())
			dir := filepath.Join(place, fmt.Sprintf("%s-%d", s.name(), round))
			if err := p.turn(s, dir, results.of[i]); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
		}
	}
	results.print(p)
	return nil
}

// turn measures one system once.
func (p *plan) turn(s system, dir string, r *result) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	block, err := ports.Reserve(3 * peers)
	if err != nil {
		return err
	}
	defer block.Release()
	if err := s.start(dir, block); err != nil {
		return errors.Join(err, s.stop())
	}
	defer func() { err = cmp.Or(errors.Join(err, s.stop()), os.RemoveAll(dir)) }()
	for i, clients := range p.clients {
		took, err := load(s, clients, p.span)
		if err != nil {
			return fmt.Errorf("load of %d clients: %w", clients, err)
		}
		r.add(i, took)
	}
	// What fails here leaves its line short; the rest is measured all the same.
	for what, measure := range map[string]func(system, *result) error{
		"crashing clients": p.crashing, "watchers": p.telling, "killed leaders": p.failing,
	} {
		if err := measure(s, r); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %s: %v\n", s.name(), what, err)
		}
	}
	return nil
}

// sorted returns durations in order.
func sorted(all []time.Duration) []time.Duration {
	all = slices.Clone(all)
	slices.Sort(all)
	return all
}
