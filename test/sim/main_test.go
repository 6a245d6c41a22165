package sim

import (
	"flag"
	"runtime/debug"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vera/actors"
)

var (
	onlySeed = flag.Uint64("sim.seed", 0, "run this seed only, -sim.runs times")
	tellAll  = flag.Bool("sim.all", false, "of a run that fails tell every operation, and what became of sessions")
	runs     = flag.Int("sim.runs", 0, "how many runs; 0: 2,000, with -race or -short 60")
)

// stage is shared by all actors, and made outside of any bubble.
var stage = actors.NewStage(zerolog.Nop())

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // runs are short and leave nothing
	goleak.VerifyTestMain(m)
}
