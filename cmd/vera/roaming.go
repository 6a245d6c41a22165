package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"vera"
	"vera/client"
)

const (
	mostDial   = 2 * time.Second        // one try to connect: another peer may be quicker
	tryEvery   = 200 * time.Millisecond //
	tryForMost = 10 * time.Minute       // longer than any grace
)

// roaming is a client that goes on at another peer when the one that it is
// connected to is lost.
type roaming struct {
	server     string
	others     []string // where the cluster's other peers serve clients
	options    client.Options
	connection *client.Connection
}

// begin connects to the server, and asks it for the others.
func (r *roaming) begin(ctx context.Context) (err error) {
	if r.connection, err = client.Dial(ctx, r.server, r.options); err != nil {
		return err
	}
	r.options.Cookie = r.connection.Cookie()
	r.learn(ctx)
	return nil
}

// again connects once more, to this peer or another one, until a peer answers,
// or refuses for good.
func (r *roaming) again(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryForMost)
	defer cancel()
	retry := time.NewTicker(tryEvery)
	defer retry.Stop()
	for {
		err := r.anywhere(ctx)
		if err == nil {
			r.learn(ctx)
			return nil
		}
		refused, is := errors.AsType[*client.Refused](err)
		if is && refused.Status != http.StatusServiceUnavailable && refused.Status != http.StatusTooManyRequests {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-retry.C:
		}
	}
}

// anywhere connects to the first peer that lets it in: to this one, or another.
// The error is that of this one.
func (r *roaming) anywhere(ctx context.Context) (first error) {
	for _, server := range append([]string{r.server}, r.others...) {
		dialing, cancel := context.WithTimeout(ctx, mostDial)
		c, err := client.Dial(dialing, server, r.options)
		cancel()
		if err == nil {
			r.server, r.connection = server, c
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// learn asks where else clients are served: for when this peer is lost.
func (r *roaming) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, mostDial)
	defer cancel()
	list, err := client.Get(ctx, nil, r.server, string(vera.PeersPath))
	if err != nil {
		return // then it comes back to this one only, or to those of before
	}
	r.others = nil
	for _, item := range list.Items {
		var m member
		if json.Unmarshal(item.Data, &m) == nil && m.Client != "" && m.Client != r.server {
			r.others = append(r.others, m.Client)
		}
	}
}
