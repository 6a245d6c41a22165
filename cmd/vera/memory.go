package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	trimEvery = 15 * time.Second
	trimLeast = 4 << 20 // bytes to be had before it is worth a collection
)

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
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		metrics.Read(samples)
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
