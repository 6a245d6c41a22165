package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"vera"
	"vera/test/history"
)

// worker is a guest that does one thing after another, at random.
type worker struct {
	*guest
	rng    *rand.Rand
	paths  []string
	pushes int
	of     *history.Life // whose what follows is
	mine   []item        // that it believes to have
	etags  []uint64      // of the lists as it last saw them, in the order of paths
	index  uint64        // the highest that it was told
	again  []repeat      // pushes with a key that it may repeat
}

type item struct {
	path    string
	version uint64
}

type repeat struct{ path, data, once string }

func newWorker(g *guest, seed uint64, paths []string) *worker {
	return &worker{guest: g, rng: rand.New(rand.NewPCG(seed, 1)), paths: paths, etags: make([]uint64, len(paths))}
}

// run works until the deadline. Lost connections are replaced.
func (w *worker) run(until time.Time) error {
	for time.Now().Before(until) {
		if w.live(w.rng.IntN(100), 15*time.Second) != nil {
			continue // nobody could be reached: at the latest when all is healed
		}
		if err := w.act(); err != nil && !errors.Is(err, errGone) {
			return err
		}
		if w.conn == nil {
			continue
		}
		if err := w.listen(time.Duration(w.rng.IntN(20)) * time.Millisecond); err != nil && !errors.Is(err, errGone) {
			return err
		}
	}
	return nil
}

// act does one thing.
func (w *worker) act() error {
	if w.life != w.of {
		w.of, w.mine, w.again = w.life, nil, nil
	}
	which := w.rng.IntN(len(w.paths))
	path := w.paths[which]
	var m history.Message
	var err error
	switch n := w.rng.IntN(100); {
	case n < 30:
		err = w.push(path, which)
	case n < 36:
		err = w.update()
	case n < 46:
		err = w.remove()
	case n < 56:
		m, err = w.get(path, history.Operation{})
	case n < 71:
		m, err = w.get(path, history.Operation{Consistent: true})
	case n < 77:
		m, err = w.get(path, history.Operation{MinIndex: w.index})
	case n < 85:
		m, err = w.watch(path)
	case n < 87:
		_, err = w.ask(history.Operation{Action: vera.ActionUnwatch, Path: path}, fmt.Sprintf(`"action":"unwatch","path":%q`, path))
	case n < 94:
		_, err = w.ask(history.Operation{Action: vera.ActionPing}, `"action":"ping"`)
	case n < 98:
		err = w.drop()
	default:
		w.leave()
		err = errGone
	}
	if m.Code == vera.OK {
		w.etags[which], w.index = m.ETag, max(w.index, m.Index)
	}
	return err
}

func (w *worker) push(path string, which int) error {
	w.pushes++
	o := history.Operation{Action: vera.ActionPush, Path: path, Data: fmt.Sprintf(`{"by":%q,"n":%d}`, w.name, w.pushes), Limit: vera.NoLimit}
	fields := ""
	switch n := w.rng.IntN(10); {
	case n < 2:
		o.Conditional, o.IfMatch = true, w.etags[which]
		fields = fmt.Sprintf(`,"ifMatch":"%d"`, o.IfMatch)
	case n < 5:
		o.Once = fmt.Sprintf("%s-%d", w.name, w.pushes)
		w.again = append(w.again, repeat{path, o.Data, o.Once})
	case n < 7 && len(w.again) > 0:
		r := w.again[w.rng.IntN(len(w.again))]
		o.Path, o.Data, o.Once = r.path, r.data, r.once
	case n < 8:
		o.Limit = w.rng.IntN(4)
		fields = fmt.Sprintf(`,"limit":%d`, o.Limit)
	}
	if o.Once != "" {
		fields = fmt.Sprintf(`,"once":%q`, o.Once)
	}
	m, err := w.ask(o, fmt.Sprintf(`"action":"push","path":%q,"data":%s%s`, o.Path, o.Data, fields))
	if err == nil && m.Code == vera.OK {
		w.mine = append(w.mine, item{o.Path, m.Version})
		w.index = max(w.index, m.Index)
	}
	return err
}

func (w *worker) update() error {
	if len(w.mine) == 0 {
		return nil
	}
	it := w.mine[w.rng.IntN(len(w.mine))]
	w.pushes++
	o := history.Operation{Action: vera.ActionUpdate, Path: it.path, Version: it.version, Data: fmt.Sprintf(`{"by":%q,"n":%d}`, w.name, w.pushes), Limit: vera.NoLimit}
	_, err := w.ask(o, fmt.Sprintf(`"action":"update","path":%q,"version":%d,"data":%s`, o.Path, o.Version, o.Data))
	return err
}

func (w *worker) remove() error {
	if len(w.mine) == 0 {
		return nil
	}
	n := w.rng.IntN(len(w.mine))
	it := w.mine[n]
	w.mine = append(w.mine[:n], w.mine[n+1:]...)
	o := history.Operation{Action: vera.ActionRemove, Path: it.path, Version: it.version, Limit: vera.NoLimit}
	_, err := w.ask(o, fmt.Sprintf(`"action":"remove","path":%q,"version":%d`, o.Path, o.Version))
	return err
}

// get reads as o says, sometimes the head alone.
func (w *worker) get(path string, o history.Operation) (history.Message, error) {
	o.Action, o.Path, o.Limit = vera.ActionGet, path, vera.NoLimit
	fields := fmt.Sprintf(`"action":"get","path":%q`, path)
	if w.rng.IntN(3) == 0 {
		o.Limit = 1
		fields += `,"limit":1`
	}
	if o.Consistent {
		fields += `,"consistent":true`
	}
	if o.MinIndex != 0 {
		fields += fmt.Sprintf(`,"minIndex":%d`, o.MinIndex)
	}
	return w.ask(o, fields)
}

func (w *worker) watch(path string) (history.Message, error) {
	o := history.Operation{Action: vera.ActionWatch, Path: path, Limit: w.limit(path)}
	fields := fmt.Sprintf(`"action":"watch","path":%q`, path)
	if o.Limit == 1 {
		fields += `,"limit":1`
	}
	if w.rng.IntN(4) == 0 {
		fields += `,"items":false`
	}
	return w.ask(o, fields)
}
