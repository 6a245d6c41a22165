package raft

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// reasons are why something has to be waited for, by address. They are logged
// when they are new, and every tellEvery.
type reasons struct {
	log  zerolog.Logger
	what string
	all  map[string]string
	told string
	at   time.Time
}

func newReasons(log zerolog.Logger, what string) *reasons {
	return &reasons{log: log, what: what, all: map[string]string{}}
}

// add notes what came of asking somebody: an error or else words.
func (r *reasons) add(who string, err error, words string) {
	if err != nil {
		words = err.Error()
	}
	r.all[who] = words
}

// String names all of them.
func (r *reasons) String() string {
	var all []string
	for _, who := range slices.Sorted(maps.Keys(r.all)) {
		all = append(all, who+": "+r.all[who])
	}
	return strings.Join(all, "; ")
}

func (r *reasons) tell() {
	if len(r.all) == 0 {
		return
	}
	if now := r.String(); now != r.told || time.Since(r.at) >= tellEvery {
		r.told, r.at = now, time.Now()
		r.log.Info().Str("reason", now).Msg(r.what)
	}
}
