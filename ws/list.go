package ws

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"vera"
)

// list answers what a list holds: at once, when it changes, or ever after.
func (v *visit) list() error {
	read, err := v.readOf()
	if err != nil {
		return err
	}
	wait, err := v.query.wait(v.site.Limits.Wait)
	if err != nil {
		return err
	}
	v.w.Header().Add("Vary", "Accept")
	if v.r.Method == http.MethodGet && accepts(v.r, "text/event-stream") {
		return v.stream(read)
	}
	listing, err := v.get(v.r.Context(), read)
	if err != nil {
		return err
	}
	if v.unchanged(listing.ETag) && wait > 0 {
		if listing, err = v.poll(read, listing, wait); err != nil {
			return err
		}
	}
	v.tellStatus(listing)
	if v.unchanged(listing.ETag) {
		v.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	v.answer(http.StatusOK, vera.AppendListing(nil, nil, vera.OK, "", listing, 0, v.site.Owner))
	return nil
}

// readOf reads which list is wanted, and how.
func (v *visit) readOf() (r vera.Read, err error) {
	if r.Path, err = vera.ParseURLPath(v.path, &v.site.Limits); err != nil {
		return r, err
	}
	if r.Limit, err = v.query.limit(); err != nil {
		return r, err
	}
	if r.Consistent, err = v.query.boolean("consistent", false); err != nil {
		return r, err
	}
	const most = 1<<63 - 1
	r.MinIndex, err = v.query.number("minIndex", 0, most)
	return r, err
}

// get asks the service, for as long as a request may take.
func (v *visit) get(ctx context.Context, read vera.Read) (vera.Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, v.site.Limits.Leader)
	defer cancel()
	return v.site.service.Get(ctx, read)
}

// poll waits until the list has another etag than before, the time is over or
// this peer goes away, and returns the list as it is then.
func (v *visit) poll(read vera.Read, last vera.Listing, wait time.Duration) (vera.Listing, error) {
	ctx, cancel := v.untilDrain()
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, wait)
	defer cancel()
	follower, err := v.site.service.Follow(ctx, vera.Read{Path: read.Path, Limit: vera.NoLimit, Since: last.Index})
	if err != nil {
		return last, v.timeUp(ctx, err)
	}
	defer follower.Close()
	for v.unchanged(last.ETag) {
		_, index, err := follower.Next(ctx)
		if err != nil {
			return last, v.timeUp(ctx, err)
		}
		if last, err = v.get(ctx, vera.Read{Path: read.Path, Limit: read.Limit, MinIndex: index}); err != nil {
			return last, v.timeUp(ctx, err)
		}
	}
	return last, nil
}

// timeUp takes the end of the waiting for no error. A client that left is one.
func (v *visit) timeUp(ctx context.Context, err error) error {
	if v.r.Context().Err() == nil && ctx.Err() != nil {
		return nil
	}
	return err
}

// untilDrain returns a context that ends with the visit, and when this peer
// goes away.
func (v *visit) untilDrain() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(v.r.Context())
	stop := context.AfterFunc(v.site.leaving, cancel)
	return ctx, func() { stop(); cancel() }
}

// tellStatus sets the headers that say how fresh an answer is.
func (v *visit) tellStatus(l vera.Listing) {
	header, status := v.w.Header(), v.site.service.Status()
	header.Set("Cache-Control", "no-cache")
	header["ETag"] = []string{`"` + strconv.FormatUint(l.ETag, 10) + `"`} // as RFC 9110 spells it, and net/http does not
	header.Set("Vera-Index", strconv.FormatUint(l.Index, 10))
	v.tellLeader(status)
}

func (v *visit) tellLeader(status vera.Status) {
	v.w.Header().Set("Vera-Leader", headerText(status.Leader))
	v.w.Header().Set("Vera-Last-Contact", strconv.FormatInt(max(0, status.LastContact.Milliseconds()), 10))
}

// headerText makes a name fit for a header.
func headerText(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
}

// unchanged says whether the client knows the list of this etag. That a list is
// empty is known only by its own etag.
func (v *visit) unchanged(etag uint64) bool {
	return v.knows(`"`+strconv.FormatUint(etag, 10)+`"`, etag != 0)
}

// knows says whether If-None-Match names a tag, RFC 9110 section 13.1.2, or
// anything where that counts.
func (v *visit) knows(tag string, anything bool) bool {
	for _, line := range v.r.Header.Values("If-None-Match") {
		for known := range strings.SplitSeq(line, ",") {
			known = strings.TrimPrefix(strings.TrimSpace(known), "W/")
			if known == tag || known == "*" && anything {
				return true
			}
		}
	}
	return false
}

// accepts says whether the client asks for a media type by name.
func accepts(r *http.Request, media string) bool {
	for _, line := range r.Header.Values("Accept") {
		for wanted := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(wanted, ";")
			if strings.EqualFold(strings.TrimSpace(name), media) {
				return true
			}
		}
	}
	return false
}

// stream answers with events, one a notification, until the client or this
// peer leaves, RFC "Server-sent events" of the HTML standard. Comments keep
// proxies from taking it for dead. A client that is ahead of this peer,
// or asks for the leader, is waited for behind the head: an EventSource gives
// up on any status but 200.
func (v *visit) stream(read vera.Read) error {
	if id := v.r.Header.Get("Last-Event-ID"); id != "" {
		since, err := strconv.ParseUint(id, 10, 63)
		if err != nil {
			return vera.Errorf(vera.InvalidParameter, "Last-Event-ID: an index")
		}
		read.Since = since
	}
	if v.site.draining() {
		v.end()
		return vera.Errorf(vera.Unavailable, "this peer is going away: try another one")
	}
	ctx, cancel := v.untilDrain()
	defer cancel()
	ahead := read.Consistent || max(read.Since, read.MinIndex) > v.site.service.Status().Applied
	if ahead && v.begin() != nil {
		return nil
	}
	follower, err := v.follow(ctx, read)
	if ahead && err != nil {
		return nil // it comes back by itself
	}
	if err != nil {
		return err
	}
	defer follower.Close()
	if !ahead && v.begin() != nil {
		return nil
	}
	v.tellAll(ctx, follower)
	return nil
}

// begin sends the head of a stream, and what an EventSource must know.
func (v *visit) begin() error {
	header, status := v.w.Header(), v.site.service.Status()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no") // nginx would keep events back
	header.Set("Vera-Index", strconv.FormatUint(status.Applied, 10))
	v.tellLeader(status)
	return v.event(": vera\nretry: 1000\n\n")
}

// tellAll sends what a follower has to tell until the client or this peer
// leaves.
func (v *visit) tellAll(ctx context.Context, follower vera.Follower) {
	for {
		turn, over := context.WithTimeout(ctx, v.site.comment)
		notification, index, err := follower.Next(turn)
		over()
		switch {
		case err == nil:
			err = v.event("event: notify\nid: " + strconv.FormatUint(index, 10) + "\ndata: " + string(notification) + "\n\n")
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			err = v.event(":\n\n")
		}
		if err != nil {
			return
		}
	}
}

// follow waits for what a Read may wait for, and no longer than that.
func (v *visit) follow(ctx context.Context, read vera.Read) (vera.Follower, error) {
	ctx, cancel := context.WithTimeout(ctx, v.site.Limits.Leader)
	defer cancel()
	return v.site.service.Follow(ctx, read)
}

func (v *visit) event(text string) error {
	if _, err := v.w.Write([]byte(text)); err != nil {
		return err
	}
	return http.NewResponseController(v.w).Flush()
}
