package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	trimEvery = 15 * time.Second
	trimLeast = 4 << 20 // bytes to be had before it is worth a collection

	garbageRoom = 64 << 20 // bytes of garbage that a small heap may gather
	mostPercent = 400      // of what lives, that may be garbage before it is collected
	lessPercent = 100      // the same, of a large heap; the runtime's own default
)

// percent is how much garbage there may be, in percent of what lives. A peer
// with little in its heap would collect it many times a second under load; one
// with much must not need five times as much.
func percent(live uint64) int {
	return int(min(max(garbageRoom*100/max(live, 1), lessPercent), mostPercent))
}

// trim gives memory back to the system when it is quiet. A wave of handshakes
// leaves a heap of twice what its connections need; the runtime keeps that as
// room for a wave to come, while other processes could use it. One that works
// anyway is left alone: it collects by itself, and needs the room.
func trim(ctx context.Context) {
	look := time.NewTicker(trimEvery)
	defer look.Stop()
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	var before uint64
	tuned := os.Getenv("GOGC") == "" // else the operator knows better
	if tuned {
		debug.SetGCPercent(mostPercent)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		metrics.Read(samples)
		if tuned {
			debug.SetGCPercent(percent(samples[3].Value.Uint64()))
		}
		cycles := samples[0].Value.Uint64()
		dead := samples[2].Value.Uint64() - min(samples[2].Value.Uint64(), samples[3].Value.Uint64())
		spare := samples[1].Value.Uint64() + dead
		quiet := cycles-before <= 1
		before = cycles
		if quiet && spare > max(trimLeast, samples[3].Value.Uint64()/4) {
			debug.FreeOSMemory()
			before++ // its own collection is no work
		}
	}
}
