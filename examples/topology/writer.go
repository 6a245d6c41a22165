package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"vera/client"
)

// database is what a database says of itself on the list.
type database struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	fence uint64 // its item's version
}

// ordered reads the list.
func ordered(items []client.Item) (order []database, err error) {
	for _, item := range items {
		d := database{fence: item.Version}
		if err := item.Decode(&d); err != nil {
			return nil, err
		}
		order = append(order, d)
	}
	return order, nil
}

// writer is a client of the databases: it writes to whoever is the first.
type writer struct {
	vera    *client.Client
	written []write // what was answered

	mu    sync.Mutex
	order []database
}

// follow keeps the order as the list has it, and shows it.
func (w *writer) follow(ctx context.Context) error {
	for n, err := range w.vera.Watch(ctx, list) {
		order, wrong := ordered(n.Items)
		if err = errors.Join(err, wrong); err != nil {
			return err
		}
		fmt.Println("the order:", title(order))
		w.mu.Lock()
		w.order = order
		w.mu.Unlock()
	}
	return nil
}

func (w *writer) look() []database {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.order
}

// try does something until it works.
func try(ctx context.Context, do func() error) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// await waits until the order is one that is wanted.
func (w *writer) await(ctx context.Context, wanted func([]database) bool) error {
	return try(ctx, func() error {
		if order := w.look(); !wanted(order) {
			return fmt.Errorf("the order is: %s", title(order))
		}
		return nil
	})
}

// write goes on until a primary has answered. The id makes it count once,
// however often it is sent.
func (w *writer) write(ctx context.Context, value string) error {
	entry, began := write{ID: rand.Text(), Value: value}, time.Now()
	return try(ctx, func() error {
		order := w.look()
		if len(order) == 0 {
			return errors.New("there is no primary")
		}
		if err := post(ctx, order[0].URL+"/write", entry); err != nil {
			return err
		}
		w.written = append(w.written, entry)
		fmt.Printf("wrote %q to %s after %v\n", value, order[0].Name, time.Since(began).Round(time.Millisecond))
		return nil
	})
}

// check compares what was answered with what a database has.
func (w *writer) check(ctx context.Context, d database) error {
	var has []write
	if err := get(ctx, d.URL+"/log", &has); err != nil {
		return err
	}
	if !slices.Equal(has, w.written) {
		return fmt.Errorf("%d writes were answered, %s has %d: %v, not %v", len(w.written), d.Name, len(has), has, w.written)
	}
	fmt.Printf("%s has all %d writes that were answered, once and in order\n", d.Name, len(has))
	return nil
}
